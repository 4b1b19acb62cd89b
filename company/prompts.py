"""Renders a step's prompt from its template, in a jinja sandbox: a stranger's template runs no code of its own.

Which variables a template needs is checked when the procedure is linked: `sop/templates.py`. How an artifact looks
inside a prompt: `markdown.py`.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import cached_property
from typing import TYPE_CHECKING, Any

from company import markdown
from company.errors import StepFailed
from company.sop.library import PROMPT_SUFFIX

if TYPE_CHECKING:
    import jinja2

    from company.sop.procedure import Role

SYSTEM = "You work in a software company. Do exactly the task you are given, in the form you are asked for."
"""The same for every role, so that the server's prompt cache holds from the first word to the last shared one."""


class Prompts:
    """The templates of one procedure.

    Args:
        sources: `Procedure.sources`; entries that are no prompts are left aside.
    """

    def __init__(self, sources: Mapping[str, str]) -> None:
        self._closures: dict[str, dict[str, str]] = {}
        self._texts = {
            name.removeprefix("prompts/"): text for name, text in sources.items() if name.startswith("prompts/")
        }

    @cached_property
    def _environment(self) -> jinja2.Environment:
        import jinja2
        from jinja2.sandbox import ImmutableSandboxedEnvironment

        class Environment(ImmutableSandboxedEnvironment):
            """Where a step is called `items`, `{{ round.items }}` is the step and no method of a mapping."""

            def getattr(self, obj: Any, attribute: str) -> Any:
                return obj[attribute] if isinstance(obj, dict) and attribute in obj else super().getattr(obj, attribute)

        environment = Environment(
            loader=jinja2.DictLoader(self._texts),
            autoescape=False,
            trim_blocks=True,
            lstrip_blocks=True,
            finalize=markdown.render,
        )
        environment.filters.update(markdown.FILTERS)
        return environment

    def texts_of(self, prompt: str) -> dict[str, str]:
        """The template ``prompts/<prompt>`` and those that it includes: name → text."""
        from jinja2 import meta

        if prompt in self._closures:
            return self._closures[prompt]
        found = self._closures[prompt] = {}
        wanted = [prompt + PROMPT_SUFFIX]
        while wanted:
            name = wanted.pop()
            if name not in found and name in self._texts:
                found[name] = self._texts[name]
                tree = self._environment.parse(self._texts[name])
                wanted += [each for each in meta.find_referenced_templates(tree) if each]
        return found

    def render(self, prompt: str, role: Role, variables: Mapping[str, Any]) -> str:
        """The text of ``prompts/<prompt>``, artifacts as Markdown; a variable that is not given is empty.

        Raises:
            StepFailed: the template does something at run time that it must not or cannot.
        """
        import jinja2

        try:
            text = self._environment.get_template(prompt + PROMPT_SUFFIX).render({**variables, "role": role})
        except (jinja2.TemplateError, TypeError, ValueError, ArithmeticError, LookupError, AttributeError) as error:
            raise StepFailed(
                f"the prompt `{prompt}` cannot be rendered: {error}",
                place=f"prompts/{prompt}{PROMPT_SUFFIX}",
                hint="mend the template and run `company run` again",
            ) from error
        return text.strip() + "\n"

"""The system-call filter of the sandbox, as the bytes of a classic BPF program for `bwrap --seccomp`.

Namespaces, mounts and capabilities are `bubblewrap.py`'s; this closes what those leave open.
Numbers are the kernel's own and never change: x86-64 first, the generic table (arm64) second.
"""

from __future__ import annotations

import errno
import functools
import platform
import socket
import struct

_REFUSED: dict[str, tuple[int | None, int | None]] = {
    # namespaces and mounts
    "unshare": (272, 97), "setns": (308, 268), "mount": (165, 40), "umount2": (166, 39),
    "pivot_root": (155, 41), "chroot": (161, 51), "open_tree": (428, 428), "move_mount": (429, 429),
    "fsopen": (430, 430), "fsconfig": (431, 431), "fsmount": (432, 432), "fspick": (433, 433),
    "mount_setattr": (442, 442), "open_by_handle_at": (304, 265), "name_to_handle_at": (303, 264),
    "fanotify_init": (300, 262),
    # other processes
    "ptrace": (101, 117), "process_vm_readv": (310, 270), "process_vm_writev": (311, 271), "kcmp": (312, 272),
    "pidfd_getfd": (438, 438), "process_madvise": (440, 440),
    # kernel features with a history
    "keyctl": (250, 219), "add_key": (248, 217), "request_key": (249, 218), "bpf": (321, 280),
    "userfaultfd": (323, 282), "perf_event_open": (298, 241), "kexec_load": (246, 104),
    "kexec_file_load": (320, 294), "init_module": (175, 105), "finit_module": (313, 273),
    "delete_module": (176, 106), "personality": (135, 92), "modify_ldt": (154, None), "ioperm": (173, None),
    "iopl": (172, None), "syslog": (103, 116), "acct": (163, 89), "quotactl": (179, 60),
    # the machine
    "swapon": (167, 224), "swapoff": (168, 225), "reboot": (169, 142), "settimeofday": (164, 170),
    "clock_settime": (227, 112), "adjtimex": (159, 171),
}  # fmt: skip

_ABSENT: dict[str, tuple[int, int]] = {
    # Said to be missing, so that libraries take their other way.
    "clone3": (435, 435),  # its flags lie in memory, where a filter cannot read them; `clone` does the same
    "io_uring_setup": (425, 425), "io_uring_enter": (426, 426), "io_uring_register": (427, 427),
    # Memory that no process's resident size shows:
    "memfd_create": (319, 279), "memfd_secret": (447, 447), "shmget": (29, 194),
}  # fmt: skip

_MACHINES = {"x86_64": (0xC000003E, 0, 56, 41), "aarch64": (0xC00000B7, 1, 220, 198)}
"""Machine → audit number, column of the tables, numbers of clone and socket."""

_NEW_NAMESPACES = 0x7E020000
_ALLOW, _KILL, _ERRNO = 0x7FFF0000, 0x80000000, 0x00050000
_LOAD, _EQUAL, _AT_LEAST, _ANY_BIT, _RETURN = 0x20, 0x15, 0x35, 0x45, 0x06
_NUMBER_AT, _MACHINE_AT, _FIRST_ARGUMENT_AT = 0, 4, 16
_FAMILIES = (socket.AF_UNIX, socket.AF_INET, socket.AF_INET6)


@functools.cache
def program(machine: str = "") -> bytes | None:
    """The filter for a machine (default: this one), or None where the machine is not in the tables."""
    known = _MACHINES.get(machine or platform.machine())
    if known is None:
        return None
    audit, column, clone, socket_call = known
    code = [
        (_LOAD, 0, 0, _MACHINE_AT),
        (_EQUAL, 1, 0, audit),
        (_RETURN, 0, 0, _KILL),
        (_LOAD, 0, 0, _NUMBER_AT),
    ]
    if column == 0:  # the x32 calls are a second door to the same rooms
        code += [(_AT_LEAST, 0, 1, 0x40000000), (_RETURN, 0, 0, _ERRNO | errno.ENOSYS)]
    for table, answer in ((_REFUSED, errno.EPERM), (_ABSENT, errno.ENOSYS)):
        for numbers in table.values():
            if numbers[column] is not None:
                code += [(_EQUAL, 0, 1, int(numbers[column] or 0)), (_RETURN, 0, 0, _ERRNO | answer)]
    code += [(_EQUAL, 0, 4, clone), (_LOAD, 0, 0, _FIRST_ARGUMENT_AT), (_ANY_BIT, 0, 1, _NEW_NAMESPACES)]
    code += [(_RETURN, 0, 0, _ERRNO | errno.EPERM), (_RETURN, 0, 0, _ALLOW)]
    code += [(_EQUAL, 0, len(_FAMILIES) + 2, socket_call), (_LOAD, 0, 0, _FIRST_ARGUMENT_AT)]
    code += [(_EQUAL, len(_FAMILIES) - i, 0, int(family)) for i, family in enumerate(_FAMILIES)]
    code += [(_RETURN, 0, 0, _ERRNO | errno.EAFNOSUPPORT), (_RETURN, 0, 0, _ALLOW)]
    return b"".join(struct.pack("<HBBI", *step) for step in code)

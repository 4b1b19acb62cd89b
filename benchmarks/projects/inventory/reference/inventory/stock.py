class Stock:
    def __init__(self):
        self._items = {}

    def add(self, name, quantity, price):
        self._items[name] = (self.quantity(name) + quantity, price)

    def remove(self, name, quantity):
        have, price = self._items[name]
        if have < quantity:
            raise ValueError(f"not enough {name}")
        if have == quantity:
            del self._items[name]
        else:
            self._items[name] = (have - quantity, price)

    def quantity(self, name):
        return self._items.get(name, (0, 0))[0]

    def items(self):
        return [(name, *self._items[name]) for name in sorted(self._items)]

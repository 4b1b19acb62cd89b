def total_value(stock):
    return round(sum(quantity * price for _, quantity, price in stock.items()), 2)


def low(stock, limit):
    return sorted(name for name, quantity, _ in stock.items() if quantity < limit)


def as_text(stock):
    return "\n".join(f"{n}: {q} x {p:.2f} = {q * p:.2f}" for n, q, p in stock.items())

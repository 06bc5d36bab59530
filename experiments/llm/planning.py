"""planning"""


def plan(*a): ...

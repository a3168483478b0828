"""What may vary: domains, search spaces, constraints, and the codec to [0, 1]^d."""

from trialist.space.choices import Choice
from trialist.space.codec import Codec
from trialist.space.describe import describe
from trialist.space.dialects import parse_domain
from trialist.space.domains import TYPES, Domain, Fixed, Float, Group, Int, Scalar
from trialist.space.leaves import Condition, Leaf
from trialist.space.space import SearchSpace

__all__ = [
    "TYPES",
    "Choice",
    "Codec",
    "Condition",
    "Domain",
    "Fixed",
    "Float",
    "Group",
    "Int",
    "Leaf",
    "Scalar",
    "SearchSpace",
    "describe",
    "parse_domain",
]

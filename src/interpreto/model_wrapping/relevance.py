"""Layer-wise relevance propagation: rules that make gradient x input of the embeddings a conserved flow of relevance.

A rule is said for an operation of torch, not for a model: each operation that is differentiated answers as always, but
hands back another gradient. An operation without a rule is refused, so that no model is explained by rules that cover a
part of it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from functools import wraps
from typing import Any, Literal

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from interpreto.errors import ModelError
from interpreto.model_wrapping.attention_maps import eager_attention

Softmax = Literal["taylor", "constant"]

PASSING = frozenset(
    """add add_ sub sub_ rsub neg __add__ __radd__ __iadd__ __sub__ __rsub__ __isub__ __neg__ positive sum mean cumsum
    cat concat stack hstack reshape view view_as reshape_as flatten unflatten transpose transpose_ swapaxes permute
    movedim t expand expand_as broadcast_to repeat repeat_interleave contiguous clone squeeze unsqueeze split chunk
    tensor_split unbind narrow select gather index_select take_along_dim __getitem__ __get__ masked_fill masked_fill_
    where pad roll flip dropout to type type_as float half bfloat16 double cpu cuda""".split()  # noqa: SIM905
)
"""Linear in all that they are given: their gradient is their rule."""
LAYERS = frozenset("linear addmm conv1d embedding mul_ __imul__ div_ __itruediv__".split())  # noqa: SIM905
"""Linear as long as their weights are constants."""
PRODUCTS = frozenset("mul multiply __mul__ __rmul__ matmul __matmul__ bmm mm".split())  # noqa: SIM905
QUOTIENTS = frozenset("div divide true_divide __truediv__".split())  # noqa: SIM905
_ELEMENTWISE = frozenset(
    "gelu silu relu tanh mish elu leaky_relu relu6 hardtanh hardswish pow __pow__ square".split()  # noqa: SIM905
)
"""Functions of each value that are 0 at 0; of others, the ratio to the value has no bound."""
_SIZES = frozenset("rsqrt sqrt var std norm".split())  # noqa: SIM905


@contextmanager
def relevance_rules(model: nn.Module, softmax: Softmax = "taylor") -> Iterator[None]:
    """Let gradients be relevances over inputs, while a model runs forward.

    - Products of two differentiated factors (attention times values, queries times keys, gates): half to each.
    - Norms: the size that is divided by is a constant.
    - Activation functions: `f(x) = x (f(x) / x)` with a constant ratio.
    - Linear operations: as they are; what constants and biases bring is nobody's.

    Args:
        model: The model; it runs with the attention that is written out.
        softmax: The first order of its Taylor series, which is its gradient, or a constant.

    Raises:
        ModelError: An operation that has no rule.
    """
    with ExitStack() as stack:
        stack.enter_context(eager_attention(model))
        for module in model.modules():
            if _is_activation(module):
                stack.enter_context(_answering(module, _identity_of(module.forward)))
        stack.enter_context(_answering(model, _by_rules(model.forward, softmax)))
        yield


def _by_rules(forward: Callable[..., Any], softmax: Softmax) -> Callable[..., Any]:
    @wraps(forward)
    def answer(*args: Any, **options: Any) -> Any:
        with _Rules(softmax):
            return forward(*args, **options)

    return answer


class _Rules(TorchFunctionMode):
    """What each operation of torch answers.

    Args:
        softmax: The rule of the softmax.
    """

    def __init__(self, softmax: Softmax) -> None:
        super().__init__()
        self.softmax = softmax

    def __torch_function__(
        self,
        function: Callable[..., Any],
        types: Any,
        args: tuple[Any, ...] = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> Any:
        options, name = dict(kwargs or {}), getattr(function, "__name__", "")
        moving = sum(_differentiated(value) for value in (*args, *options.values()))
        if not torch.is_grad_enabled() or not moving:
            return function(*args, **options)
        if name in PRODUCTS and len(args) > 1 and moving == 2:
            return function(halved(args[0]), halved(args[1]), *args[2:], **options)
        if name in QUOTIENTS and len(args) > 1:
            return function(args[0], _constant(args[1]), *args[2:], **options)
        if name in _SIZES or _is_root(name, args) or (name == "softmax" and self.softmax == "constant"):
            return function(*map(_constant, args), **{key: _constant(value) for key, value in options.items()})
        if name in _ELEMENTWISE and args and _differentiated(args[0]):
            return identity(args[0], function(args[0].detach(), *map(_constant, args[1:]), **options))
        if name in _NORMS:
            return _NORMS[name](*args, **options)
        answer = function(*args, **options)
        known = name in PASSING or name == "softmax" or (moving == 1 and name in LAYERS | PRODUCTS)
        if not known and _differentiated(answer):
            raise ModelError(
                f"model: expected one made of operations that relevance has rules for, got {name!r}; explain it with "
                "InputxGradient or IntegratedGradients"
            )
        return answer


def halved(values: Float[Tensor, "*s"]) -> Float[Tensor, "*s"]:
    """The same values, half the gradient."""
    return values / 2 + (values / 2).detach()


def identity(values: Float[Tensor, "*s"], answer: Float[Tensor, "*s"]) -> Float[Tensor, "*s"]:
    """The answer of a function of each value, as the value times a constant: all relevance goes to the value."""
    zero = values.detach() == 0
    ratio = torch.where(zero, 0.0, answer.detach() / torch.where(zero, 1.0, values.detach()))
    return values * ratio + (answer - values * ratio).detach()


def _layer_norm(
    values: Tensor,
    shape: Any,
    weight: Tensor | None = None,
    bias: Tensor | None = None,
    eps: float = 1e-5,
) -> Tensor:
    places = tuple(range(-len(shape), 0))
    centred = values - values.mean(dim=places, keepdim=True)
    size = (centred.square().mean(dim=places, keepdim=True) + eps).sqrt().detach()
    normed = centred / size
    normed = normed if weight is None else normed * weight
    return normed if bias is None else normed + bias


def _rms_norm(values: Tensor, shape: Any, weight: Tensor | None = None, eps: float | None = None) -> Tensor:
    places = tuple(range(-len(shape), 0))
    least = torch.finfo(values.dtype).eps if eps is None else eps
    normed = values / (values.square().mean(dim=places, keepdim=True) + least).sqrt().detach()
    return normed if weight is None else normed * weight


_NORMS: dict[str, Callable[..., Tensor]] = {"layer_norm": _layer_norm, "rms_norm": _rms_norm}


def _differentiated(value: Any) -> bool:
    if isinstance(value, (tuple, list)):
        return any(_differentiated(item) for item in value)
    return isinstance(value, Tensor) and value.requires_grad


def _constant(value: Any) -> Any:
    return value.detach() if isinstance(value, Tensor) else value


def _is_root(name: str, args: Sequence[Any]) -> bool:
    """Whether a power is one that sizes are made by: a root, or what it is divided by."""
    return name in ("pow", "__pow__") and not (len(args) == 2 and isinstance(args[1], (int, float)) and args[1] >= 1)


def _is_activation(module: nn.Module) -> bool:
    """Functions of each value by itself, as transformers and torch have them; some are written in many operations."""
    home = type(module).__module__
    known = home in ("transformers.activations", "torch.nn.modules.activation")
    return known and not isinstance(module, _NO_ACTIVATIONS)


_NO_ACTIVATIONS = (
    *(nn.Softmax, nn.Softmin, nn.Softmax2d, nn.LogSoftmax, nn.MultiheadAttention, nn.GLU),  # of several values
    *(nn.Sigmoid, nn.LogSigmoid, nn.Softplus, nn.Hardsigmoid, nn.Threshold),  # not 0 at 0: `f(x) / x` has no bound
)


def _identity_of(forward: Callable[..., Tensor]) -> Callable[..., Tensor]:
    @wraps(forward)
    def answer(values: Tensor) -> Tensor:
        if not _differentiated(values) or not torch.is_grad_enabled():
            return forward(values)
        with torch.no_grad():
            found = forward(values)
        return identity(values, found)

    return answer


@contextmanager
def _answering(module: nn.Module, forward: Callable[..., Tensor]) -> Iterator[None]:
    """Let a module answer otherwise."""
    before = module.__dict__.get("forward")
    module.forward = forward
    try:
        yield
    finally:
        if before is None:
            del module.forward
        else:
            module.forward = before

"""Finite differences passed back through a model: slopes between a text and its baseline in place of derivatives.

Text and baseline go through the model side by side, operation by operation, and each operation hands back multipliers
`m` with `f(x) - f(x0) = sum_i m_i (x_i - x0_i)`. By the chain rule the whole model then has such multipliers too. A
rule is said for an operation of torch, not for a model; an operation without one is refused, so that nothing is
missing.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, NoReturn

import torch
from jaxtyping import Float
from torch import Tensor
from torch.overrides import TorchFunctionMode

from interpreto.errors import ModelError
from interpreto.model_wrapping.relevance import LAYERS, PASSING, PRODUCTS, QUOTIENTS

_BILINEAR = PRODUCTS | frozenset("baddbmm addcmul einsum __rmatmul__".split())  # noqa: SIM905
_ELEMENTWISE = frozenset(
    """relu relu6 leaky_relu elu selu celu gelu silu mish tanh sigmoid hardtanh hardsigmoid hardswish softplus softsign
    logsigmoid erf exp expm1 log log1p sqrt rsqrt reciprocal square pow __pow__ __rpow__ sin cos abs clamp clamp_min
    clamp_max""".split()  # noqa: SIM905
)
_SOFTMAXES = frozenset("softmax log_softmax".split())  # noqa: SIM905
_BASELINE, _RULED = "_at_baseline", "_by_rules"  # attributes of tensors that change


class SecantRules(TorchFunctionMode):
    """Let operations answer as always, and hand back secants, for tensors that were `paired` with a baseline.

    - Functions of each value by itself: `(f(x) - f(x0)) / (x - x0)`, the derivative where the two are equal.
    - Products of two that change: `m(b)` to `a` and `m(a)` to `b`, with `m` the mean of text and baseline.
    - Quotients: the product with the reciprocal. Norms: mean, variance, root and products.
    - Softmax: `exp(x_i - log sum_j exp(x_j))`, operation by operation, whose multipliers are never above 1. (With
      `exp(x_i) / sum_j exp(x_j)` they grow with what is added to all `x`, though the softmax is none the wiser.)
    - Linear operations: as they are.

    Raises:
        ModelError: An operation that has no rule.
    """

    def __torch_function__(
        self,
        function: Callable[..., Any],
        types: Any,
        args: tuple[Any, ...] = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> Any:
        options, name = dict(kwargs or {}), getattr(function, "__name__", "")
        given = list(_tensors((args, options)))
        moving, graded = [tensor for tensor in given if _moves(tensor)], torch.is_grad_enabled()
        if graded and any(tensor.requires_grad and not vars(tensor).get(_RULED) for tensor in given):
            _refuse(f"another one before {name!r}, which is not one of torch")
        if not moving:
            return function(*args, **options)
        if name == "__iter__":
            with self:
                return iter(args[0].unbind(0))
        divides = name in QUOTIENTS and _moves((args[1:], options))
        if graded and (name in _WRITTEN_OUT or (divides and not options)):
            with self:
                return (_WRITTEN_OUT.get(name) or _quotient)(*args, **options)
        if _is_in_place(name, args, options) and not (_moves(args[0]) and name in PASSING | LAYERS):
            _refuse(f"{name!r} in place")
        with torch.no_grad():
            at_baseline = function(*_at_baseline(args), **_at_baseline(options))
        smooth = all(tensor.requires_grad for tensor in moving) and options.get("rounding_mode") is None
        rule = _rule(name, len(moving)) if graded and smooth and not divides else None
        answer = rule(function, moving, args, options) if rule else function(*args, **options)
        if name == "__get__" and not isinstance(answer, Tensor):
            return answer
        if rule is None and any(tensor.requires_grad for tensor in _tensors(answer)):
            _refuse(f"{name!r}")
        _pair_all(answer, at_baseline, name)
        return answer


def paired(values: Tensor, at_baseline: Tensor) -> Tensor:
    """The same values, that are something else at the baseline."""
    vars(values)[_BASELINE], vars(values)[_RULED] = at_baseline.detach(), values.requires_grad
    return values


# Rules: each answers as the function does, and with its own gradient

Rule = Callable[[Callable[..., Any], Sequence[Tensor], Sequence[Any], Mapping[str, Any]], Any]
"""From a function, those tensors among its arguments that change, and all arguments, to its answer."""


def _rule(name: str, n_moving: int) -> Rule | None:
    linear = PASSING if n_moving > 1 else PASSING | LAYERS | _BILINEAR | QUOTIENTS
    if name in linear:
        return _as_it_is
    if name in _BILINEAR and n_moving == 2:
        return _at_means
    if name in _ELEMENTWISE and n_moving == 1:
        return _secant
    return _softmax if name in _SOFTMAXES else None


def _as_it_is(
    function: Callable[..., Any], moving: Sequence[Tensor], args: Sequence[Any], options: Mapping[str, Any]
) -> Any:
    return function(*args, **options)


def _at_means(
    function: Callable[..., Tensor], moving: Sequence[Tensor], args: Sequence[Any], options: Mapping[str, Any]
) -> Tensor:
    """The derivative half way: that of a function of degree 2 is its secant."""

    def half_way(value: Tensor) -> Tensor:
        return value + (vars(value)[_BASELINE] - value).detach() / 2 if _moves(value) else value

    with torch.no_grad():
        answer = function(*args, **options)
    between = function(*_each(half_way, args), **_each(half_way, options))
    return answer + (between - between.detach())


def _secant(
    function: Callable[..., Tensor], moving: Sequence[Tensor], args: Sequence[Any], options: Mapping[str, Any]
) -> Tensor:
    """The slope of a function of each value: between the two, or half way where they are too close to tell."""
    (values,) = moving

    def at(point: Tensor) -> Tensor:
        placed = _each(lambda tensor: point if tensor is values else tensor, (args, options))
        return function(*placed[0], **placed[1])

    with torch.no_grad():
        answer = at(values)
        if answer.shape != values.shape:
            _refuse(f"{function.__name__!r} of values with others of more dimensions")
        high, low = _wide(values), _wide(vars(values)[_BASELINE])
        rise, run, middle = at(high) - at(low), high - low, (high + low) / 2
        least = torch.finfo(high.dtype).eps ** (1 / 3)
        close = run.abs() <= least * torch.maximum(high.abs(), low.abs())
        close |= (run.abs() <= least) & (rise.abs() <= least**2 * at(middle).abs())
        slope = rise / torch.where(close, 1.0, run)
    with torch.enable_grad():
        (derivative,) = torch.autograd.grad(at(middle.requires_grad_()).sum(), middle)
    slope = torch.where(close, derivative, slope).nan_to_num(0.0, 0.0, 0.0)
    return answer + slope.to(values.dtype) * _change(values)


def _softmax(
    function: Callable[..., Tensor], moving: Sequence[Tensor], args: Sequence[Any], options: Mapping[str, Any]
) -> Tensor:
    """Multipliers by the logarithmic means of exponentials: `exp(x) - exp(x0) = mean * (x - x0)`."""
    (values,) = moving
    dim = options["dim"] if "dim" in options else args[1]
    with torch.no_grad():
        answer = function(*args, **options)
        high, low = _wide(values), _wide(vars(values)[_BASELINE])
        top, bottom = (x.logsumexp(dim, keepdim=True) for x in (high, low))
        shares = (_log_of_mean(high, low) - _log_of_mean(top, bottom)).exp().nan_to_num(0.0).to(values.dtype)
        slopes = _log_of_mean(high - top, low - bottom).exp().nan_to_num(0.0).to(values.dtype)
    change = _change(values)
    change = change - (shares * change).sum(dim=dim, keepdim=True)
    if function.__name__ == "softmax":
        change = slopes * change
    return answer + change.to(answer.dtype)


def _log_of_mean(a: Float[Tensor, "*s"], b: Float[Tensor, "*s"]) -> Float[Tensor, "*s"]:
    """`log((exp(a) - exp(b)) / (a - b))`."""
    gap = (a - b).abs()
    ratio = torch.where(gap == 0, 1.0, -torch.expm1(-gap) / torch.where(gap == 0, 1.0, gap))
    return torch.maximum(a, b) + ratio.log()


def _change(values: Float[Tensor, "*s"]) -> Float[Tensor, "*s"]:
    """0, with the gradient of the values; none of minus infinity, which masks are made of."""
    return (values - values.detach()).masked_fill(values.detach().isinf(), 0.0)


def _wide(values: Float[Tensor, "*s"]) -> Float[Tensor, "*s"]:
    """In numbers in which small differences show."""
    return values.detach().to(torch.float32 if values.device.type == "mps" else torch.float64)


# Functions written out in others


def _quotient(values: Any, by: Tensor) -> Tensor:
    found: Tensor = by.reciprocal() * values
    return found


def _divided_into(by: Tensor, values: Any) -> Tensor:
    return _quotient(values, by)


def _layer_norm(
    values: Tensor,
    normalized_shape: Any,
    weight: Tensor | None = None,
    bias: Tensor | None = None,
    eps: float = 1e-5,
) -> Tensor:
    centred = values - values.mean(dim=tuple(range(-len(normalized_shape), 0)), keepdim=True)
    normed = _rms_norm(centred, normalized_shape, weight, eps)
    return normed if bias is None else normed + bias


def _rms_norm(values: Tensor, normalized_shape: Any, weight: Tensor | None = None, eps: float | None = None) -> Tensor:
    least = torch.finfo(values.dtype).eps if eps is None else eps
    places = tuple(range(-len(normalized_shape), 0))
    normed = values * ((values * values).mean(dim=places, keepdim=True) + least).rsqrt()
    return normed if weight is None else normed * weight


_WRITTEN_OUT: dict[str, Callable[..., Tensor]] = {
    "layer_norm": _layer_norm,
    "rms_norm": _rms_norm,
    "__rtruediv__": _divided_into,
    "__rdiv__": _divided_into,
}


# Tensors in arguments and answers


def _tensors(value: Any) -> Iterator[Tensor]:
    if isinstance(value, Tensor):
        yield value
    elif isinstance(value, (tuple, list)):
        for item in value:
            yield from _tensors(item)
    elif isinstance(value, dict):
        yield from _tensors(list(value.values()))


def _each(change: Callable[[Tensor], Tensor], value: Any) -> Any:
    """The same with other tensors in it."""
    if isinstance(value, Tensor):
        return change(value)
    if isinstance(value, (tuple, list)):
        items = [_each(change, item) for item in value]
        return items if isinstance(value, list) else tuple(items)
    if isinstance(value, dict):
        return {key: _each(change, item) for key, item in value.items()}
    return value


def _at_baseline(value: Any) -> Any:
    return _each(lambda tensor: vars(tensor).get(_BASELINE, tensor), value)


def _moves(value: Any) -> bool:
    """Whether anything in it is something else at the baseline."""
    return any(_BASELINE in vars(tensor) for tensor in _tensors(value))


def _pair_all(answer: Any, at_baseline: Any, name: str) -> None:
    """Pair what was answered with what is answered at the baseline; what is equal and a constant needs none."""
    if isinstance(answer, Tensor):
        if answer.requires_grad or not torch.equal(answer, at_baseline):
            paired(answer, at_baseline)
    elif isinstance(answer, (tuple, list)):
        for one, other in zip(answer, at_baseline, strict=True):
            _pair_all(one, other, name)
    elif isinstance(answer, (bool, int, float)) and answer != at_baseline:
        _refuse(f"{name!r}, by which it goes another way for the baseline")


def _is_in_place(name: str, args: Sequence[Any], options: Mapping[str, Any]) -> bool:
    dunder = name.startswith("__")
    changing = name.startswith("__i") and name not in ("__iter__", "__invert__") if dunder else name.endswith("_")
    asked = name in _ELEMENTWISE and (options.get("inplace") is True or any(value is True for value in args[1:]))
    return changing or asked or name == "__setitem__" or "out" in options


def _refuse(found: str) -> NoReturn:
    raise ModelError(
        f"model: expected one made of operations that finite differences have rules for, got {found}; explain it with "
        "IntegratedGradients"
    )

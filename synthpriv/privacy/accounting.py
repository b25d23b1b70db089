"""From events to (epsilon, delta), and back to noise; the only file that imports dp_accounting.

The claim is the privacy loss distribution (PLD) of the JOINT list of events, rounded pessimistically by
Google's accountant; Renyi DP, which is looser, must not come out below it. All of this is post-processing of
public parameters. Facts used beyond the accountant's own:

- Histograms of several columns have independent noise, so their losses add up: m columns are an m-fold
  composition. A replaced row leaves one cell and enters another, so replace-one makes it 2 m.
- A unit that owns r rows shifts the cells of one histogram by r unit steps. Each step has the trade-off
  function f of a shift by one, so the whole is bounded by 1 - (1 - f)^r (group privacy: Dong, Roth and Su,
  Gaussian Differential Privacy, 2022, theorem 2.14), which for the discrete Gaussian is exactly the trade-off
  function of one cell shifted by r: sensitivity r in one cell per histogram is the worst case.
- The loss of a Laplace count never exceeds its epsilon, so its epsilon is added plainly to that of the rest.
  It costs a little, and lets later noise parameters depend on the released count (docs/accounting.md).
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from functools import cache, lru_cache
from typing import Any, Literal

from synthpriv.errors import AccountingError, InfeasiblePlan
from synthpriv.privacy.events import Counts, Event, Gaussian, Laplace, NonPrivate, SampledGaussian

Adjacency = Literal["add_remove", "replace_one"]

_INTERVAL = 1e-4  # the loss grid unless the events ask for another
_COARSE = 1e-3  # the loss grid while searching
_CELLS = 800_000  # the largest loss table, about: a second or two of work
_ORDERS = (*range(2, 33), 40, 48, 64, 96, 128, 256, 512, 1024)
_LARGEST_MULTIPLIER = 1000.0


def epsilon(events: Sequence[Event], delta: float, *, adjacency: Adjacency = "add_remove") -> float:
    """The epsilon at `delta` of all `events` together: pessimistic, and infinite for NonPrivate.

    delta: in [0, 1). Raises AccountingError if the accountants disagree or an argument is out of range.
    """
    _check(delta=delta, adjacency=adjacency)
    pure, rest = _split(events)
    if not rest or math.isinf(pure):
        return pure
    if delta == 0.0:
        return math.inf
    joint = _joint_loss(rest, adjacency, _interval(rest, adjacency, _INTERVAL), delta)
    value = float(joint.get_epsilon_for_delta(delta))
    if adjacency == "add_remove":
        bound = rdp_epsilon(rest, delta)
        # The slack is the grid's: on lists of one tiny event pessimistic rounding shows.
        if value > bound * 1.01 + 1e-3:
            raise AccountingError(
                f"the loss distribution must not exceed the Renyi bound, found {value:.6g} above "
                f"{bound:.6g}. Do not release; report this list of events."
            )
    return pure + value


def delta_for(events: Sequence[Event], epsilon: float, *, adjacency: Adjacency = "add_remove") -> float:
    """The delta at `epsilon` (>= 0) of all `events` together: pessimistic, and 1 for NonPrivate.

    Also 1 where `epsilon` is below what Laplace counts take. Raises AccountingError for bad arguments.
    """
    _check(epsilon=epsilon, adjacency=adjacency)
    pure, rest = _split(events)
    if math.isinf(pure) or epsilon < pure:
        return 1.0
    if not rest:
        return 0.0
    joint = _joint_loss(rest, adjacency, _interval(rest, adjacency, _INTERVAL), 1e-9)
    return float(joint.get_delta_for_epsilon(epsilon - pure))


def rdp_epsilon(events: Sequence[Event], delta: float) -> float:
    """The Renyi bound on epsilon under add/remove: looser than `epsilon`, and independent of it.

    Counts enter as zero-concentrated DP, rho = max_rows^2 / (2 noise_scale^2) per coordinate.
    Sources: Mironov (2017); Canonne, Kamath and Steinke (2020), proposition 12 and theorem 4.
    """
    from dp_accounting.rdp import compute_epsilon

    _check(delta=delta)
    pure, rest = _split(events)
    if not rest or math.isinf(pure):
        return pure
    if delta == 0.0:
        return math.inf
    total = [sum(curve) for curve in zip(*(_renyi_curve(event) for event in rest), strict=True)]
    return pure + float(compute_epsilon(_ORDERS, total, delta)[0])


def calibrate_noise_multiplier(
    spent: Sequence[Event], sample_rate: float, steps: int, epsilon: float, delta: float
) -> float:
    """The smallest noise multiplier with which DP-SGD still fits next to `spent`, to one in a thousand.

    The joint add/remove epsilon of `spent` and the training is at most `epsilon`, by a last evaluation.
    Raises InfeasiblePlan if `spent` alone is too much, or if no multiplier up to 1000 fits.
    """
    _check(delta=delta, epsilon=epsilon)
    if math.isinf(epsilon) or delta == 0.0:
        raise InfeasiblePlan(
            f"calibration needs a finite epsilon and delta above 0, found {epsilon!r} and {delta!r}. "
            "Set both in the budget."
        )
    already = _epsilon(spent, delta)
    if already >= epsilon:
        raise InfeasiblePlan(
            f"training needs some budget, found {already:.4g} of epsilon {epsilon:.4g} spent. "
            "Spend less on counts or raise epsilon."
        )
    pure, rest = _split(spent)

    def with_training(multiplier: float) -> list[Event]:
        return [*rest, SampledGaussian(noise_multiplier=multiplier, sample_rate=sample_rate, steps=steps)]

    @cache
    def excess(log_multiplier: float) -> float:
        events = with_training(math.exp(log_multiplier))
        joint = _joint_loss(events, "add_remove", _interval(events, "add_remove", _COARSE), delta)
        return math.log(max(float(joint.get_epsilon_for_delta(delta)), 1e-12) / (epsilon - pure))

    start = math.log(_first_guess(rest, sample_rate, steps, gaussian_mu(epsilon - pure, delta)))
    multiplier = math.exp(_decreasing_root(excess, start, math.log(_LARGEST_MULTIPLIER)))
    while multiplier <= _LARGEST_MULTIPLIER:
        if pure + _epsilon(with_training(multiplier), delta) <= epsilon:
            return multiplier
        multiplier *= 1.0005
    raise InfeasiblePlan(
        f"training with sample_rate {sample_rate:.4g} and {steps} steps must fit in epsilon {epsilon:.4g} "
        f"beside {already:.4g} spent, found that noise multiplier {_LARGEST_MULTIPLIER:.0f} is too little. "
        "Raise epsilon, or lower the steps or the sample rate."
    )


def gaussian_mu(epsilon: float, delta: float) -> float:
    """The largest sensitivity over standard deviation for which Gaussian noise is (epsilon, delta)-private.

    epsilon >= 0 and finite, delta in (0, 1). Exact, add/remove. Raises AccountingError outside the ranges.
    Source: Balle and Wang, Improving the Gaussian Mechanism for Differential Privacy (2018), theorem 8.
    """
    _check(delta=delta, epsilon=epsilon)
    if math.isinf(epsilon) or delta == 0.0:
        raise AccountingError(
            f"mu needs a finite epsilon and delta above 0, found {epsilon!r} and {delta!r}. Set both."
        )
    from scipy.optimize import brentq
    from scipy.special import log_ndtr

    def excess(log_mu: float) -> float:
        mu = math.exp(log_mu)
        first = float(log_ndtr(mu / 2 - epsilon / mu))
        second = epsilon + float(log_ndtr(-mu / 2 - epsilon / mu))
        return first + math.log(max(-math.expm1(second - first), 1e-300)) - math.log(delta)

    return math.exp(brentq(excess, -30.0, math.log(2 * math.sqrt(epsilon + 1) + 100), xtol=1e-13))


def scale_for_mu(mu: float, coordinates: int = 1, max_rows: int = 1) -> float:
    """The noise scale at which counts changing in `coordinates` cells by `max_rows` amount to `mu` in all."""
    if not 0 < mu < math.inf:
        raise AccountingError(f"mu must be finite and above 0, found {mu!r}. Use gaussian_mu.")
    return max_rows * math.sqrt(coordinates) / mu


def _epsilon(events: Sequence[Event], delta: float) -> float:
    """`epsilon` under its own name, for functions with an argument called so."""
    return epsilon(events, delta)


def _check(*, delta: float = 0.5, epsilon: float = 1.0, adjacency: str = "add_remove") -> None:
    """The ranges that every function shares."""
    if not 0 <= delta < 1:
        raise AccountingError(f"delta must lie in [0, 1), found {delta!r}. Set it well below 1 / rows.")
    if not epsilon >= 0:
        raise AccountingError(f"epsilon must be at least 0, found {epsilon!r}. Set it in the budget.")
    if adjacency not in ("add_remove", "replace_one"):
        raise AccountingError(f"adjacency must be add_remove or replace_one, found {adjacency!r}. Use one.")


def _split(events: Iterable[Event]) -> tuple[float, list[Event]]:
    """The epsilon that is added plainly (Laplace; infinite for NonPrivate), and the events to compose."""
    pure = 0.0
    rest: list[Event] = []
    for event in events:
        if isinstance(event, NonPrivate):
            pure = math.inf
        elif isinstance(event, Laplace):
            pure += event.epsilon
        elif isinstance(event, Counts | Gaussian | SampledGaussian):
            rest.append(event)
        else:
            raise AccountingError(f"an event must be of a known kind, found {event!r}. See privacy.events.")
    return pure, rest


def _renyi_curve(event: Event) -> tuple[float, ...]:
    """The Renyi divergence bound of one event at every order of _ORDERS, add/remove."""
    if isinstance(event, Counts):
        rho = event.coordinates * event.max_rows**2 / (2 * event.noise_scale**2)
        return tuple(order * rho for order in _ORDERS)
    if isinstance(event, Gaussian):
        return tuple(order * event.count / (2 * event.noise_multiplier**2) for order in _ORDERS)
    assert isinstance(event, SampledGaussian)
    return _sampled_renyi_curve(event)


@lru_cache(maxsize=256)
def _sampled_renyi_curve(event: SampledGaussian) -> tuple[float, ...]:
    """The accountant's own curve for Poisson-sampled Gaussian noise."""
    import dp_accounting
    from dp_accounting.rdp import RdpAccountant

    gaussian = dp_accounting.GaussianDpEvent(event.noise_multiplier)
    step = dp_accounting.PoissonSampledDpEvent(event.sample_rate, gaussian)
    accountant = RdpAccountant(orders=_ORDERS).compose(dp_accounting.SelfComposedDpEvent(step, event.steps))
    return tuple(float(value) for value in accountant.rdp)


def _joint_loss(events: Sequence[Event], adjacency: Adjacency, interval: float, delta: float) -> Any:
    """The composed privacy loss distribution of `events` (at least one) on one grid, whatever their order."""
    # Mass cut from the tails is added to delta, so it stays far below it.
    tail = min(1e-15, delta * 1e-6)
    merged = Counter(events)
    training = [event for event in merged if isinstance(event, SampledGaussian)]
    others = sorted((event for event in merged if event not in training), key=repr)
    parts = [_loss(event, merged[event], adjacency, interval, tail) for event in sorted(training, key=repr)]
    if others:
        parts.append(_composed(tuple((event, merged[event]) for event in others), adjacency, interval, tail))
    joint = parts[0]
    for part in parts[1:]:
        joint = joint.compose(part, tail_mass_truncation=tail)
    return joint


@lru_cache(maxsize=4)
def _composed(
    events: tuple[tuple[Event, int], ...], adjacency: Adjacency, interval: float, tail: float
) -> Any:
    """The joint loss of events without sampling, kept while calibration searches: there may be dozens."""
    joint: Any = None
    for event, times in events:
        loss = _loss(event, times, adjacency, interval, tail)
        joint = loss if joint is None else joint.compose(loss, tail_mass_truncation=tail)
    return joint


@lru_cache(maxsize=8)
def _loss(event: Event, times: int, adjacency: Adjacency, interval: float, tail: float) -> Any:
    """The privacy loss distribution of `times` equal events; a ledger asks for the last few again."""
    from dp_accounting.pld import privacy_loss_distribution as pld

    replace = adjacency == "replace_one"
    if isinstance(event, Gaussian):
        return pld.from_gaussian_mechanism(
            event.noise_multiplier / math.sqrt(event.count * times),
            sensitivity=2.0 if replace else 1.0,
            value_discretization_interval=interval,
        )
    if isinstance(event, Counts):
        one = pld.from_discrete_gaussian_mechanism(
            event.noise_scale,
            sensitivity=event.max_rows,
            truncation_bound=math.ceil(12 * event.noise_scale) + event.max_rows,
            value_discretization_interval=interval,
            use_connect_dots=True,
        )
        return one.self_compose(event.coordinates * times * (2 if replace else 1), tail_mass_truncation=tail)
    assert isinstance(event, SampledGaussian)
    one = pld.from_gaussian_mechanism(
        event.noise_multiplier,
        sampling_prob=event.sample_rate,
        value_discretization_interval=interval,
        neighboring_relation=pld.NeighborRel.REPLACE_ONE if replace else pld.NeighborRel.ADD_OR_REMOVE_ONE,
    )
    return one.self_compose(event.steps * times, tail_mass_truncation=tail)


def _interval(events: Sequence[Event], adjacency: Adjacency, target: float) -> float:
    """A loss grid fine against every single step and coarse enough for the table to fit in memory.

    Rounding is pessimistic on any grid, so this choice moves the figure's tightness, never its validity.
    """
    factor = 2.0 if adjacency == "replace_one" else 1.0
    spreads = [_spread(event, factor) for event in events]
    finest = min(target, *(spread[0] / 20 for spread in spreads))
    whole = math.sqrt(math.fsum(spread[1] ** 2 for spread in spreads))
    # 20 standard deviations of the whole, or of one step without the help of sampling.
    widest = max(20 * whole, *(20 * spread[2] for spread in spreads))
    return max(finest, widest / _CELLS)


def _spread(event: Event, factor: float) -> tuple[float, float, float]:
    """Standard deviations of the loss, roughly: of one step, of the whole event, of an unsampled step."""
    if isinstance(event, Counts):
        step = event.max_rows / event.noise_scale
        return step, step * math.sqrt(event.coordinates * factor), step
    if isinstance(event, Gaussian):
        whole = factor * math.sqrt(event.count) / event.noise_multiplier
        return whole, whole, whole
    assert isinstance(event, SampledGaussian)
    full = factor / event.noise_multiplier
    step = _sampled_deviation(full, event.sample_rate)
    return step, step * math.sqrt(event.steps), full


def _sampled_deviation(shift: float, rate: float) -> float:
    """The standard deviation of the loss log(1 - q + q exp(shift x - shift^2 / 2)) of one sampled step."""
    import numpy as np

    grid = np.linspace(-8.0, 8.0, 801)
    weights = np.exp(-(grid**2) / 2)
    weights /= weights.sum()
    off, on = (
        np.logaddexp(math.log1p(-rate) if rate < 1 else -math.inf, math.log(rate) + shift * x - shift**2 / 2)
        for x in (grid, grid + shift)
    )
    mean = weights @ ((1 - rate) * off + rate * on)
    return math.sqrt(weights @ ((1 - rate) * (off - mean) ** 2 + rate * (on - mean) ** 2))


def _first_guess(spent: Sequence[Event], sample_rate: float, steps: int, mu: float) -> float:
    """The multiplier by the central limit theorem (Bu et al., Deep Learning with Gaussian DP, 2020)."""
    used = sum(_spread(event, 1.0)[1] ** 2 for event in spent)
    left = max(mu**2 - used, mu**2 * 1e-3)
    guess = 1 / math.sqrt(math.log1p(left / (sample_rate**2 * steps)))
    return min(max(guess, 0.3), _LARGEST_MULTIPLIER / 2)


def _decreasing_root(function: Callable[[float], float], start: float, stop: float) -> float:
    """Where a decreasing function crosses 0, to 4e-4 and rounded up; infinite if that is above `stop`."""
    from scipy.optimize import brentq

    low = high = start
    value = function(start)
    width = min(max(0.05, abs(value) / 2), 0.3)
    if value > 0:
        while function(high) > 0:
            if high >= stop:
                return math.inf
            low, high, width = high, min(high + width, stop), width * 2
    else:
        while function(low) <= 0:
            if low < math.log(0.02):
                return low
            low, high, width = low - width, low, width * 2
    return float(brentq(function, low, high, xtol=2e-4, rtol=1e-9)) + 2e-4

"""LEACE: the theorem, in numbers."""

import pytest
import torch
from sklearn.linear_model import LinearRegression, LogisticRegression
from sklearn.metrics import log_loss

from interpreto.concepts.supervised import LeaceEraser, Probe
from interpreto.errors import InputError
from tests.concepts.supervised.planted import ANIMALS, BOOKS, assert_untouched, planted_rows, split_classifier, state_of


def skewed_rows(n=600, d=8, n_classes=3, seed=0):
    """Planted classes of different sizes in a cloud that is far from a sphere."""
    rows, classes, _ = planted_rows(n, d, n_classes, seed=seed)
    kept = torch.rand(n, generator=torch.Generator().manual_seed(1)) < 1 / (1 + classes)
    mixing = torch.randn(d, d, generator=torch.Generator().manual_seed(2)) * torch.logspace(-1, 1, d)
    return (rows @ mixing)[kept].double(), classes[kept]


def cross_covariance(x, classes):
    z = torch.nn.functional.one_hot(classes).double()
    return (x - x.mean(dim=0)).T @ (z - z.mean(dim=0)) / len(x)


@pytest.mark.parametrize("n_classes", [2, 3, 5])
def test_after_erasure_no_linear_classifier_is_better_than_none(n_classes):
    rows, classes = skewed_rows(n_classes=n_classes)
    eraser = LeaceEraser.fit(rows, classes)
    erased = eraser.erase(rows)
    assert eraser.rank == n_classes - 1
    assert cross_covariance(rows, classes).abs().max() > 0.1
    assert cross_covariance(erased, classes).abs().max() < 1e-12
    means = torch.stack([erased[classes == k].mean(dim=0) for k in range(n_classes)])
    torch.testing.assert_close(means, rows.mean(dim=0).expand_as(means), atol=1e-10, rtol=1e-10)
    majority = float(classes.bincount().max()) / len(classes)
    fresh = LogisticRegression(C=1e6, max_iter=10_000)
    assert fresh.fit(rows.numpy(), classes.numpy()).score(rows.numpy(), classes.numpy()) > majority + 0.2
    scaled = (erased / erased.std()).numpy()
    assert fresh.fit(scaled, classes.numpy()).score(scaled, classes.numpy()) == pytest.approx(majority)
    shares = classes.bincount().double() / len(classes)
    entropy = -float((shares * shares.log()).sum())  # the loss of whoever says the shares, and looks at no row
    assert log_loss(classes.numpy(), fresh.predict_proba(scaled)) > entropy - 1e-9
    z = torch.nn.functional.one_hot(classes).double().numpy()
    assert LinearRegression().fit(erased.numpy(), z).score(erased.numpy(), z) < 1e-10


def test_probes_of_this_library_are_at_the_majority_too():
    rows, classes = skewed_rows(n=2400)
    erased = LeaceEraser.fit(rows, classes).erase(rows)
    majority = float(classes.bincount().max()) / len(classes)
    for kind in ("linear", "logistic"):
        before, after = (Probe(kind=kind, n_controls=0).fit(x, classes).report for x in (rows, erased))
        assert before.accuracy > 0.9
        assert after.fit_accuracy < majority + 0.03  # fitted on a part of the rows that the theorem is about
        assert after.accuracy < majority + 0.03


def test_nothing_that_erases_changes_less():
    rows, classes = skewed_rows()
    eraser = LeaceEraser.fit(rows, classes)
    own = (eraser.erase(rows) - rows).square().sum(dim=1).mean()
    basis = torch.linalg.svd(cross_covariance(rows, classes), full_matrices=False)[0][:, :2]
    centred = rows - rows.mean(dim=0)
    projected = rows - centred @ basis @ basis.T
    assert cross_covariance(projected, classes).abs().max() < 1e-10  # erases as well
    assert own < 0.9 * (projected - rows).square().sum(dim=1).mean()
    # Every oblique projection along the same directions erases as well; none is nearer than LEACE's.
    rng = torch.Generator().manual_seed(3)
    for size in (1e-3, 1e-2, 1e-1):
        change = size * torch.randn(2, 8, generator=rng).double() * eraser.right.norm()
        reader = eraser.right + change - (change @ eraser.left) @ eraser.right  # still the inverse of `left`
        other = rows - centred @ reader.T @ eraser.left.T
        assert cross_covariance(other, classes).abs().max() < 1e-8
        assert own <= (other - rows).square().sum(dim=1).mean()


def test_the_eraser_is_a_projection_in_closed_form():
    rows, classes = skewed_rows()
    eraser = LeaceEraser.fit(rows, classes)
    torch.testing.assert_close(eraser.right @ eraser.left, torch.eye(2).double(), atol=1e-10, rtol=0)
    erased = eraser.erase(rows)
    torch.testing.assert_close(eraser.erase(erased), erased, atol=1e-10, rtol=1e-10)
    # The same from the formula of the paper, with matrix roots.
    centred = rows - rows.mean(dim=0)
    variances, axes = torch.linalg.eigh(centred.T @ centred / len(rows))
    root, inverse = (axes @ torch.diag(variances**power) @ axes.T for power in (0.5, -0.5))
    whitened = inverse @ cross_covariance(rows, classes)
    projection = whitened @ torch.linalg.pinv(whitened, rtol=1e-10)
    torch.testing.assert_close(erased, rows - centred @ (root @ projection @ inverse).T, atol=1e-8, rtol=1e-8)
    assert "rank 2" in repr(eraser)


def test_singular_covariances_and_more_numbers_than_rows():
    rows, classes = skewed_rows(n=300)
    wide = torch.cat([rows, rows @ torch.ones(8, 4).double(), torch.zeros(len(rows), 3).double()], dim=1)
    erased = LeaceEraser.fit(wide, classes).erase(wide)
    assert cross_covariance(erased, classes).abs().max() < 1e-9
    torch.testing.assert_close(erased[:, :8], LeaceEraser.fit(rows, classes).erase(rows), atol=1e-6, rtol=1e-6)
    few = torch.randn(10, 40, generator=torch.Generator().manual_seed(0))
    labels = torch.arange(10) % 2
    assert cross_covariance(LeaceEraser.fit(few, labels).erase(few).double(), labels).abs().max() < 1e-6


def test_concepts_may_be_numbers_and_several():
    rows, classes = skewed_rows()
    age = rows[:, 3] + torch.randn(len(rows), generator=torch.Generator().manual_seed(0)).double()
    erased = LeaceEraser.fit(rows, torch.stack([age, (classes == 1).double()], dim=1)).erase(rows)
    for number in (age, (classes == 1).double()):
        covariance = (erased - erased.mean(dim=0)).T @ (number - number.mean()) / len(rows)
        assert covariance.abs().max() < 1e-10
    names = [["a", "b", "c"][k] for k in classes]
    assert torch.equal(LeaceEraser.fit(rows, names).erase(rows), LeaceEraser.fit(rows, classes).erase(rows))


def test_what_is_not_in_the_rows_is_not_erased():
    rows, _ = skewed_rows()
    nothing = LeaceEraser.fit(rows, torch.zeros(len(rows), 1).double())
    assert nothing.rank == 0
    assert torch.equal(nothing.erase(rows), rows)


def test_number_types_and_files(tmp_path):
    rows, classes = skewed_rows()
    eraser = LeaceEraser.fit(rows.float(), classes)
    for dtype in (torch.float64, torch.float32, torch.bfloat16):
        assert eraser.erase(rows.to(dtype)).dtype is dtype
    again = LeaceEraser.load(eraser.save(tmp_path / "eraser.safetensors"))
    assert torch.equal(again.erase(rows), eraser.erase(rows))
    path = tmp_path / "eraser.safetensors"
    path.write_bytes(path.read_bytes()[:-5])
    with pytest.raises(InputError, match="expected a saved eraser"):
        LeaceEraser.load(path)
    with pytest.raises(InputError, match="expected a saved eraser"):
        LeaceEraser.load(tmp_path / "nothing")
    with pytest.raises(InputError, match="expected a saved eraser"):
        LeaceEraser.load(Probe(kind="centroid").fit(rows, classes).model.save(tmp_path / "probe.safetensors"))


def test_erased_inside_the_model():
    split = split_classifier(0)
    before = state_of(split.model)
    texts = ANIMALS + BOOKS
    rows = split.get_activations(texts, "all_tokens")["0"]
    rng = torch.Generator().manual_seed(0)
    eraser = LeaceEraser.fit(rows, torch.rand(len(rows), generator=rng) < 0.5)
    found = eraser.erased_scores(split, texts[:3], [0, 2], activation_granularity="all_tokens")
    plain = LeaceEraser.fit(rows, torch.zeros(len(rows), 1)).erased_scores(split, texts[:3], [0, 2])
    assert_untouched(split.model, before)
    module = split.model.bert.encoder.layer[0]

    def hook(_module, _args, output):
        hidden = output if isinstance(output, torch.Tensor) else output[0]
        changed = eraser.erase(hidden[0])[None]
        return changed if isinstance(output, torch.Tensor) else (changed, *output[1:])

    for k, text in enumerate(texts[:3]):
        encoding = split.tokenizer(text, return_tensors="pt")
        with torch.no_grad():
            torch.testing.assert_close(plain[k], split.model(**encoding).logits[0, [0, 2]], atol=1e-4, rtol=1e-4)
            handle = module.register_forward_hook(hook)
            wanted = split.model(**encoding).logits[0, [0, 2]]
            handle.remove()
        torch.testing.assert_close(found[k], wanted, atol=1e-4, rtol=1e-4)
        assert (found[k] - plain[k]).abs().max() > 1e-3
    with pytest.raises(InputError, match="split_point: expected a choice"):
        eraser.erased_scores(split_classifier([0, 1]), texts[:3])


def test_what_cannot_be_erased_is_refused():
    rows, classes = skewed_rows()
    eraser = LeaceEraser.fit(rows, classes)
    broken = rows.clone()
    broken[5, 0] = torch.inf
    for wrong, labels, message in [
        (broken, classes, "NaN or infinity in row 5"),
        (rows, classes[1:], "concept: expected"),
        (rows, torch.zeros(3, 2), "concept: expected"),
        (rows, [1] * len(rows), "at least two different"),
        (rows[:1], classes[:1], "at least two rows"),
        ({"0": rows}, classes, "pass one split point's"),
    ]:
        with pytest.raises(InputError, match=message):
            LeaceEraser.fit(wrong, labels)
    with pytest.raises(InputError, match="width 8"):
        eraser.erase(torch.zeros(2, 7))

import numpy as np
import pytest
import torch
from digits_tensors import digits, small_net
from sklearn import metrics
from torch import nn

from ecoautoml.errors import RuntimeExportError
from ecoautoml.records.columns import SCORES
from ecoautoml.runtimes.base import Session
from ecoautoml.trial.evaluate import check_parity, network_logits, scores, session_logits

IMAGES = digits(23)


class NetworkSession(Session):
    """A session over a torch module; keeps the sizes of its batches."""

    def __init__(self, module, batch_size, offset=0.0):
        self._module, self._batch_size, self._offset = module.eval(), batch_size, offset
        self.sizes = []

    @property
    def batch_size(self):
        return self._batch_size

    def run(self, images_bchw):
        assert images_bchw.dtype == np.uint8
        assert images_bchw.flags.c_contiguous
        self.sizes.append(len(images_bchw))
        with torch.inference_mode():
            return self._module(torch.from_numpy(images_bchw)).numpy() + self._offset


# --- logits ---------------------------------------------------------------------------------------


def test_logits_of_a_network_are_those_of_evaluation_in_the_order_of_the_images():
    module = small_net(dropout=0.5).train()
    calls = []
    found = network_logits(module, digits(600), "cpu", lambda: calls.append(1))
    assert found.shape == (600, 10)
    assert found.dtype == np.float32
    assert len(calls) == 3  # between batches of 256
    with torch.inference_mode():
        expected = module.eval()(digits(600).images_nchw)
    np.testing.assert_allclose(found, expected.numpy(), atol=1e-4)


@pytest.mark.parametrize("batch_size", [1, 4, 23, 64])
def test_a_session_gets_whole_batches_and_every_image_its_own_logits(batch_size):
    module = small_net()
    session = NetworkSession(module, batch_size)
    found = session_logits(session, IMAGES)
    assert set(session.sizes) == {batch_size}
    assert len(session.sizes) == -(-23 // batch_size)
    expected = network_logits(module, IMAGES, "cpu", lambda: None)
    assert found.shape == (23, 10)
    np.testing.assert_allclose(found, expected, atol=1e-4)


# --- parity ---------------------------------------------------------------------------------------


def test_an_exported_file_that_is_the_network_passes():
    module = small_net()
    check_parity(NetworkSession(module, 4), module, IMAGES)
    check_parity(NetworkSession(module, 4, offset=1e-4), module, IMAGES)


def test_an_exported_file_that_is_another_network_is_refused():
    with pytest.raises(RuntimeExportError, match=r"disagrees .* logits differ by up to \d"):
        check_parity(NetworkSession(small_net(seed=1), 4), small_net(seed=0), IMAGES)


@pytest.mark.parametrize("offset", [0.5, -0.5, float("nan"), float("inf")])
def test_wrong_logits_are_refused(offset):
    module = small_net()
    with pytest.raises(RuntimeExportError, match="disagrees with the network"):
        check_parity(NetworkSession(module, 4, offset=offset), module, IMAGES)


def test_the_difference_allowed_grows_with_the_logits():
    module = nn.Sequential(small_net(), Times(1000.0))
    check_parity(NetworkSession(module, 4, offset=0.5), module, IMAGES)


class Times(nn.Module):
    def __init__(self, factor):
        super().__init__()
        self.factor = factor

    def forward(self, x):
        return x * self.factor


# --- scores ---------------------------------------------------------------------------------------


def drawn(classes, count=300, *, only=None, seed=0):
    """Return logits that are right more often than not, and labels."""
    random = np.random.default_rng(seed)
    labels = random.integers(0, classes if only is None else only, count)
    logits = random.normal(size=(count, classes)).astype(np.float32)
    logits[np.arange(count), labels] += 1.5
    return logits, labels


def softmax(logits):
    shares = np.exp(logits.astype(np.float64))
    return shares / shares.sum(axis=1, keepdims=True)


@pytest.mark.parametrize("classes", [6, 10])
def test_scores_are_those_of_scikit_learn(classes):
    logits, labels = drawn(classes)
    predicted = logits.argmax(axis=1)
    assert scores(logits, labels, SCORES) == pytest.approx(
        {
            "validation_accuracy": metrics.accuracy_score(labels, predicted),
            "validation_balanced_accuracy": metrics.balanced_accuracy_score(labels, predicted),
            "validation_macro_f1": metrics.f1_score(labels, predicted, average="macro"),
            "validation_auroc": metrics.roc_auc_score(labels, softmax(logits), multi_class="ovr"),
            "validation_top5_accuracy": metrics.top_k_accuracy_score(labels, logits, k=5),
        },
        abs=1e-6,
    )


def test_two_classes_have_the_usual_auroc():
    logits, labels = drawn(2)
    found = scores(logits, labels, SCORES)
    expected = metrics.roc_auc_score(labels, logits[:, 1] - logits[:, 0])
    assert found["validation_auroc"] == pytest.approx(expected, abs=1e-6)
    assert found["validation_top5_accuracy"] == 1.0


def test_classes_without_images_do_not_count():
    logits, labels = drawn(10, only=7)
    found = scores(logits, labels, SCORES)
    present = softmax(logits)[:, :7]
    one_hot = np.eye(7)[labels]
    assert found["validation_auroc"] == pytest.approx(
        metrics.roc_auc_score(one_hot, present, average="macro")
    )
    recalls = [(logits.argmax(axis=1)[labels == k] == k).mean() for k in range(7)]
    assert found["validation_balanced_accuracy"] == pytest.approx(np.mean(recalls))


def test_a_perfect_and_a_hopeless_model_have_the_ends_of_the_scale():
    labels = np.arange(60) % 6
    perfect = np.eye(6, dtype=np.float32)[labels] * 100
    assert set(scores(perfect, labels, SCORES).values()) == {1.0}
    hopeless = scores(-perfect, labels, SCORES)
    assert hopeless["validation_auroc"] == hopeless["validation_accuracy"] == 0.0
    assert hopeless["validation_top5_accuracy"] == 0.0


def test_huge_logits_overflow_nothing():
    logits, labels = drawn(6)
    found = scores(logits * 1e4, labels, SCORES)
    assert all(0 <= value <= 1 for value in found.values())


def test_accuracy_is_always_there_and_nothing_that_was_not_asked_for():
    logits, labels = drawn(6)
    assert set(scores(logits, labels, [])) == {"validation_accuracy"}
    assert set(scores(logits, labels, ["validation_macro_f1"])) == {
        "validation_accuracy",
        "validation_macro_f1",
    }

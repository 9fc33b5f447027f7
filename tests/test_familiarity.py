"""How far a clip is from the training: the measure against scikit-learn's, and its silence while it knows nothing."""

import torch
from sklearn.covariance import shrunk_covariance
from sklearn.metrics.pairwise import pairwise_distances

from tvau.familiarity import FOREIGN, Familiarity, feature


def test_it_is_the_mahalanobis_distance_over_that_of_the_usual_clip() -> None:
    torch.manual_seed(0)
    training, validation, asked = torch.randn(40, 8) * torch.arange(1, 9), torch.randn(30, 8), torch.randn(5, 8) * 9
    measure = Familiarity(8)
    measure.learn(training, validation)
    own = training.numpy().astype("float64")
    centred = own - own.mean(0)
    inverse = torch.linalg.inv(torch.tensor(shrunk_covariance(centred.T @ centred / len(own), shrinkage=0.03)))

    def distances(rows: torch.Tensor) -> torch.Tensor:
        plain = pairwise_distances(rows.numpy(), own.mean(0)[None], "mahalanobis", VI=inverse.numpy())
        return torch.from_numpy(plain)[:, 0]

    found = measure(asked)
    assert found is not None
    torch.testing.assert_close(
        found.double(), distances(asked) / distances(validation).quantile(0.99), rtol=1e-4, atol=0
    )


def test_it_knows_fewer_clips_than_channels() -> None:
    torch.manual_seed(0)
    measure = Familiarity(64)
    measure.learn(torch.randn(16, 64), torch.randn(16, 64))
    near, far = measure(torch.randn(8, 64)), measure(torch.randn(8, 64) + 5)
    assert near is not None
    assert far is not None
    assert near.max() < FOREIGN < far.min()


def test_it_says_nothing_before_it_has_learned() -> None:
    assert Familiarity(4)(torch.randn(2, 4)) is None


def test_the_feature_of_a_clip_is_the_mean_of_its_deepest_block() -> None:
    hidden = {1: torch.randn(2, 3, 4, 5, 6), 6: torch.randn(2, 3, 4, 5, 6)}
    torch.testing.assert_close(feature(hidden), hidden[6].flatten(3).mean(-1).mean(1))

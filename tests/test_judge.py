"""Yes or no by peak and lean."""

import torch

from tiny import close
from tvau.judge import Judge, peak


def test_the_peak_is_the_mean_of_the_highest_patches() -> None:
    logit = torch.arange(24.0).reshape(2, 3, 2, 2)
    close(peak(logit), torch.tensor([9.5, 21.5]))
    close(peak(logit[:, :1, :1, :1]), torch.tensor([0.0, 12.0]))


def test_before_anything_is_fitted_the_heatmap_decides() -> None:
    close(Judge()(torch.tensor([-1.0, 2.0]), torch.tensor([9.0, -9.0])), torch.tensor([-1.0, 2.0]))


def test_it_learns_from_clips_which_number_to_trust() -> None:
    torch.manual_seed(0)
    yes = torch.arange(200) % 2 == 0
    peaks, leans = 3 * yes - 8 + torch.randn(200), 100 * torch.randn(200)  # the lean is noise on a larger scale
    judge = Judge()
    judge.fit(peaks, leans, yes)
    right = ((judge(peaks, leans) > 0) == yes).float().mean()
    assert right > 0.9
    assert judge.both[0] > 50 * judge.both[1].abs()
    close(judge.alone[1], torch.tensor(0.0))
    assert ((judge.map_alone(peaks) > 0) == yes).float().mean() > 0.9
    assert abs(float(judge.map_alone(torch.tensor([-6.5])))) < 1  # between both kinds it does not know
    before = judge.both.clone()
    judge.fit(peaks, leans, torch.ones(200))  # one kind teaches nothing
    assert torch.equal(judge.both, before)


def test_it_does_not_learn_how_rare_anomalies_are() -> None:
    torch.manual_seed(0)
    yes = torch.arange(440) >= 400
    peaks, leans = torch.randn(2, 440) + torch.where(yes, 3.0, -1.0)
    judge, middle = Judge(), torch.tensor([1.0])
    judge.fit(peaks, leans, yes)
    for verdict in (judge.map_alone, lambda peak: judge(peak, middle)):
        assert verdict(middle - 0.5) < 0 < verdict(middle + 0.5)

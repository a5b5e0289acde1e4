"""What trainers print is understood; what is no training is not taken for it."""

from __future__ import annotations

import math
import time

import pytest

from daemon.train_log import LogReader, Progress

KOHYA = (
    "running training / 学習開始\n  num epochs / epoch数: 10\n"
    "steps:   0%|          | 0/1000 [00:00<?, ?it/s]\nepoch 1/10\n"
    "\rsteps:   1%|▏         | 10/1000 [00:05<08:15,  2.00it/s, avr_loss=0.123]"
    "\nsaving checkpoint: /out/punk-000001.safetensors\n\nepoch 2/10\n"
    "\rsteps:  11%|█         | 110/1000 [00:55<1:07:25,  2.00it/s, avr_loss=0.0725]"
)


def read(text: str, *, piece: int = 10_000) -> Progress:
    """Feed a text in pieces of this many bytes."""
    log, told = LogReader(), text.encode()
    for start in range(0, len(told), piece):
        log.feed(told[start : start + piece])
    return log.progress


@pytest.mark.parametrize("piece", [1, 7, 64, 10_000])
def test_kohyas_log_gives_epoch_step_loss_and_time_left(piece: int) -> None:
    """In pieces of any size, also cut through a letter of several bytes."""
    wanted = Progress(epoch=2, step=110, total_steps=1000, loss=0.0725, seconds_left=4045)
    assert read(KOHYA, piece=piece) == wanted


def test_diffusers_and_others_are_read_too() -> None:
    """Bars of the scripts of diffusers, of OneTrainer and of ai-toolkit."""
    diffusers = "Steps:  10%|█ | 100/1000 [01:23<12:00, 1.25it/s, lr=0.0001, step_loss=0.0456]"
    assert read(diffusers) == Progress(step=100, total_steps=1000, loss=0.0456, seconds_left=720)
    onetrainer = (
        "epoch:  30%|███ | 3/10 [10:00<23:00, 200s/it]\n"
        "step:  50%|█| 5/10 [00:01<00:01, 5it/s, loss=0.1, smooth loss=0.2]"
    )
    assert (read(onetrainer).epoch, read(onetrainer).loss) == (3, 0.1)
    toolkit = "punk_v7:   5%|5  | 100/2000 [02:00<38:00,  1.2s/it, lr: 1.0e-04 loss: 3.2e-01]"
    assert read(toolkit).loss == pytest.approx(0.32)


def test_loading_and_drawing_are_no_training() -> None:
    """A bar that is neither of steps nor has a loss changes nothing."""
    for bar in (
        "caching latents: 100%|██████████| 10/10 [00:02<00:00,  4.00it/s]",
        "Loading pipeline components...:  50%|█████     | 3/6 [00:01<00:01,  2.0it/s]",
        "100%|██████████| 20/20 [00:04<00:00,  4.9it/s]",
        "Fetching 12 files:   8%| | 1/12 [00:01<00:11,  1.0s/it]",
        "the epoch of reason 5/6",
    ):
        assert read(bar) == Progress()


def test_a_loss_that_is_no_number_is_told_and_an_unknown_time_is_unknown() -> None:
    """NaN is news; a question mark is not zero seconds."""
    progress = read("steps:   0%| | 1/10 [00:00<?, ?it/s, avr_loss=nan]")
    assert progress.loss is not None
    assert math.isnan(progress.loss)
    assert progress.seconds_left is None


def test_colored_bars_and_endless_lines_are_read() -> None:
    """Escapes are taken out, and only the end of a flood is looked at."""
    assert read("\x1b[32msteps:  50%|██| 5/10 [00:01<00:01,  1it/s]\x1b[0m").step == 5
    assert read("x" * 1_000_000 + "\nsteps:  50%|██| 6/10 [00:01<00:01,  1it/s]").step == 6


def test_no_output_breaks_or_delays_the_trainer() -> None:
    """Numbers of any size, and floods in one line: whoever reads stands between trainer and screen."""
    began = time.process_time()
    for line in (
        f"epoch {'9' * 5000}/10",
        f"epoch {'9' * 500}/10",
        f"steps:  50%|##| {'9' * 500}/10 [00:01<00:01,  1it/s]",
        *["epoch" + " " * 16_000, "epoch " + "1" * 16_000] * 50,  # read whole: ten minutes
    ):
        assert read(line) == Progress()
    assert time.process_time() - began < 30  # and a tenth of a second otherwise
    odd = read("steps:  50%|##| 5/10 [00:01<\u00b2:1,  1it/s, loss=1e-60]")
    assert odd == Progress(step=5, total_steps=10, loss=0.0)
    assert read("steps:  50%|##| 5/10 [00:01<00:01,  1it/s, loss=-1e60]").loss == -math.inf

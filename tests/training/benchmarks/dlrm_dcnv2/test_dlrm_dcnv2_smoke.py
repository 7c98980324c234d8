"""DLRM-DCNv2's smoke preset, end to end: it reaches its target; what is simpler or broken does not."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from scipy.sparse import csr_matrix, hstack
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import roc_auc_score

from official import messages_as_closed, official_messages
from pitboard import suite
from pitboard.training.benchmarks.dlrm_dcnv2 import benchmark as dlrm
from pitboard.training.benchmarks.dlrm_dcnv2.flights import TABLES, Flights, load_flights
from pitboard.training.output import Output, Plan
from pitboard.training.reporting import Silent
from pitboard.training.runner import execute
from support import Command, number, the_log, the_run

pytestmark = [pytest.mark.slow, pytest.mark.xdist_group("dlrm_dcnv2")]

TARGET = number(suite.benchmark("dlrm_dcnv2").preset("smoke").values, "target")


@pytest.fixture(scope="module")
def smoke(pitboard: Command, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Run the smoke preset to its target once; return its output folder."""
    folder = tmp_path_factory.mktemp("dlrm_dcnv2") / "out"
    done = pitboard("run", "dlrm_dcnv2", "--seed", 1, "--output", folder, timeout=900)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "epochs to the target; reference convergence points" in " ".join(done.stdout.split())
    return folder


def test_it_reaches_the_target(smoke: Path) -> None:
    run = the_run(smoke)
    assert run.status == "success"
    assert run.evaluations[-1].quality >= TARGET > run.evaluations[-2].quality
    assert [e.epoch for e in run.evaluations] == [
        15_360 * (number + 1) / 309_036 for number in range(len(run.evaluations))
    ]


def test_the_official_checker_names_exactly_the_scaled_values(smoke: Path, tmp_path: Path) -> None:
    # The ruleset of the open division has no target for it.
    assert official_messages(the_log(smoke)) == set()
    target = "v['value'] >= 0.80275 and v['value'] <= 1.0"
    assert messages_as_closed(the_log(smoke), tmp_path) == {
        "CHECK for 'eval_samples'  v['value'] == 89137319 ",
        f"Failed checks for eval_accuracy : {target}",
    }


@pytest.fixture
def parts(cache: Path, monkeypatch: pytest.MonkeyPatch) -> tuple[Flights, Flights]:
    """Return the flights to train on and those held out, from the tests' cache."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(cache))
    return load_flights()


def test_logistic_regression_on_the_same_features_misses_it(parts: tuple[Flights, Flights]) -> None:
    """Each row of each table a feature of its own, and the numerical ones."""
    first = np.cumsum([0, *(rows for rows, _ in TABLES.values())])
    shift = np.repeat(first[:-1], [count for _, count in TABLES.values()])

    def features(part: Flights) -> csr_matrix:
        ids = part.ids + shift
        places = np.repeat(np.arange(len(part)), ids.shape[1])
        named = csr_matrix((np.ones(ids.size), (places, ids.ravel())), shape=(len(part), first[-1]))
        return hstack([named, csr_matrix(part.dense)]).tocsr()

    train, held_out = parts
    # The regularization that suits the flights held out best, and enough iterations to converge.
    fitted = LogisticRegression(C=0.003, max_iter=200).fit(features(train), train.label)
    assert fitted.n_iter_ < 200
    area = roc_auc_score(held_out.label, fitted.predict_proba(features(held_out))[:, 1])
    assert 0.7 < area < TARGET


def test_a_model_with_a_shuffled_table_falls_behind(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, parts: tuple[Flights, Flights]
) -> None:
    """By here the sound run of this seed has reached it; docs/dlrm_dcnv2.md has how far this one gets."""
    begin = sum(count for _, count in list(TABLES.values())[: list(TABLES).index("weather")])
    columns = slice(begin, begin + TABLES["weather"][1])

    def shuffled(part: Flights, seed: int) -> Flights:
        ids = part.ids.copy()
        ids[:, columns] = ids[np.random.default_rng(seed).permutation(len(ids))][:, columns]
        return replace(part, ids=ids)

    broken = tuple(shuffled(part, seed) for seed, part in enumerate(parts))
    monkeypatch.setattr(dlrm, "load_flights", lambda: broken)
    plan = Plan(
        benchmark="dlrm_dcnv2",
        preset="smoke",
        overrides={"max_samples": "61440", "evaluation_interval": "61440", "precision": "fp32"},
        seeds=[1],
        system="s",
        submitter="Test",
    )
    execute(Output(tmp_path), plan, 0, Silent())
    (evaluation,) = the_run(tmp_path).evaluations
    assert 0.6 < evaluation.quality < TARGET - 0.004

"""R-GAT's graphs: sampling, the split, the reference's files, and finding what is wrong with them."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from pitboard.errors import PitboardError
from pitboard.training.benchmarks.rgat import benchmark as rgat
from pitboard.training.benchmarks.rgat import igbh, verses
from pitboard.training.benchmarks.rgat import verify as verify_rgat
from pitboard.training.benchmarks.rgat.data import Samples, split, split_sizes
from pitboard.training.benchmarks.rgat.downloads import (
    CLASSES_FILE,
    EDGES,
    columns_folder,
    features_file,
)
from pitboard.training.benchmarks.rgat.graph import (
    Columns,
    Graph,
    Relation,
    neighbourhood,
    relations_by_layer,
)
from pitboard.training.benchmarks.rgat.verses import in_columns
from pitboard.training.data.verify import verify
from pitboard.training.output import Output, Plan
from pitboard.training.reporting import Silent
from pitboard.training.runner import execute
from support import Command, the_run

CITES, WRITES = ("paper", "cites", "paper"), ("author", "writes", "paper")
WRITTEN = ("paper", "written_by", "author")


@pytest.fixture(scope="module")
def graph() -> Graph:
    """Forty papers and nine authors; paper 0 is cited by all, and no one writes the last papers."""
    random = np.random.default_rng(0)
    cites = np.unique(random.integers(40, size=(2, 300)), axis=1)
    cites = np.concatenate([cites, np.stack([np.arange(40), np.zeros(40, int)])], axis=1)
    cites = np.unique(cites, axis=1)
    writes = np.unique(np.stack([random.integers(9, size=60), random.integers(30, size=60)]), axis=1)
    relations = {
        CITES: in_columns(cites, 40),
        WRITES: in_columns(writes, 30),
        WRITTEN: in_columns(writes[::-1], 9),
    }
    return Graph({"paper": 40, "author": 9}, relations, "paper")


def received(columns: Columns, node: int) -> list[int]:
    senders: list[int] = columns.sources[columns.starts[node] : columns.starts[node + 1]].tolist()
    return senders


def messages(graph: Graph, seeds: list[int], fan_out: list[int], key: str) -> list[dict[str, set[Any]]]:
    """Return who sends to whom by each relation of each layer, by the nodes' own numbers."""
    sampled = neighbourhood(graph, np.array(seeds), fan_out, key)
    given, found = dict(sampled.nodes), []
    for layer in sampled.layers:
        kept = {kind: given[kind][places] for kind, places in layer.kept.items()}
        found.append(
            {
                name: set(zip(given[a][edges[0]].tolist(), kept[b][edges[1]].tolist(), strict=True))
                for (a, name, b), edges in layer.edges.items()
            }
        )
        given = kept
    assert given["paper"][sampled.seeds].tolist() == seeds
    return found


def test_messages_go_along_edges_as_many_as_asked_for_and_each_once(graph: Graph) -> None:
    first, last = messages(graph, [3, 0, 35], [4, 2], "key")
    for name, columns in (("cites", graph.relations[CITES]),):
        for node in (3, 0, 35):
            senders = [a for a, b in last[name] if b == node]
            assert set(senders) <= set(received(columns, node))
            assert len(senders) == min(4, len(received(columns, node)))
    assert not [a for a, b in last["writes"] if b == 35]
    # What sends in the last layer receives in the first, and so does who is kept.
    nodes = {3, 0, 35} | {a for a, _ in last["cites"]}
    assert {b for _, b in first["cites"]} == {n for n in nodes if received(graph.relations[CITES], n)}
    assert {b for _, b in first["written_by"]} == {a for a, _ in last["writes"]}


def test_with_room_for_all_every_neighbour_sends(graph: Graph) -> None:
    (layer,) = messages(graph, list(range(40)), [100], "key")
    expected = {(a, b) for b in range(40) for a in received(graph.relations[CITES], b)}
    assert layer["cites"] == expected


def test_what_a_node_draws_does_not_depend_on_what_is_sampled_beside_it(graph: Graph) -> None:
    together = messages(graph, [1, 2, 3, 4], [3, 2], "key")
    apart = [messages(graph, pair, [3, 2], "key") for pair in ([1, 2], [3, 4])]
    for layer, (one, two) in enumerate(zip(*apart, strict=True)):
        assert together[layer] == {name: one[name] | two[name] for name in one}
    assert messages(graph, [1, 2, 3, 4], [3, 2], "other") != together


def test_each_neighbour_is_drawn_equally_often() -> None:
    hub = Graph({"paper": 12}, {CITES: Columns(np.array([0, 12]), np.arange(12))}, "paper")
    counts = np.zeros(12)
    for key in range(500):
        sampled = neighbourhood(hub, np.array([0]), [5], str(key))
        senders = sampled.nodes["paper"][sampled.layers[0].edges[CITES][0]]
        assert len(set(senders.tolist())) == 5
        counts[senders] += 1
    # Binomial, with a deviation of 11 about 208.
    assert np.abs(counts - 500 * 5 / 12).max() < 5 * 11


def test_only_relations_that_reach_a_paper_are_computed() -> None:
    layers = relations_by_layer(list(EDGES), "paper", 3)
    assert [len(relations) for relations in layers] == [11, 10, 5]
    assert {relation[2] for relation in layers[2]} == {"paper"}


def test_the_split_is_the_references() -> None:
    torch.manual_seed(42)
    shuffled = torch.randperm(1000)
    trained, evaluated = split(1000, 0.005)
    assert trained.tolist() == shuffled[:600].tolist()
    assert evaluated.tolist() == shuffled[600:605].tolist()
    # As real logs have them.
    assert split_sizes(157_675_969, igbh.HELD_OUT) == (94_605_581, 788_379)


def test_each_node_is_trained_on_once_an_epoch_and_a_batch_may_span_two() -> None:
    source = verses.load_source(16)
    chosen = np.arange(0, 300, 3)
    samples, again, other = (Samples(source, chosen, [2], seed, 8, shuffled=True) for seed in (1, 1, 2))
    first = samples.nodes(range(100))
    assert sorted(first.tolist()) == chosen.tolist()
    assert first.tolist() == again.nodes(range(100)).tolist() != other.nodes(range(100)).tolist()
    assert samples.nodes(range(96, 104)).tolist() == [*first[96:], *samples.nodes(range(100, 104))]
    (batch,) = samples.__getitems__([8, 9])
    (same,) = again.__getitems__([8, 9])
    assert all(torch.equal(values, same[name]) for name, values in batch.items())
    assert batch["classes"].tolist() == source.classes[first[8:10]].tolist()


def test_the_graph_of_verses_is_what_the_text_says() -> None:
    source = verses.load_source(16)
    graph = source.graph
    assert graph.nodes == {"verse": 31_102, "chapter": 1_189, "word": len(source.features["word"])}  # type: ignore[arg-type]
    assert np.bincount(source.classes)[[0, 18, 65]].tolist() == [
        1533,
        2461,
        404,
    ]  # Genesis, Psalms, Revelation
    follows = graph.relations["verse", "follows", "verse"]
    # The first verse of Genesis 2 follows none of Genesis 1, and each verse itself twice.
    assert sorted(received(follows, 31)) == [31, 31, 32]
    assert sorted(received(follows, 40)) == [39, 40, 40, 41]
    chapter = received(graph.relations["chapter", "rev_part_of", "verse"], 31)
    assert received(graph.relations["verse", "part_of", "chapter"], chapter[0]) == list(range(31, 56))
    # "In the beginning God created the heavens and the earth" has eight different words.
    assert len(received(graph.relations["word", "rev_has", "verse"], 0)) == 8
    assert not source.features["chapter"][np.array([0, 5])].any()


PAPERS, AUTHORS, LABELLED = 60, 40, 50
SIZE = 8


@pytest.fixture
def download(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """IGBH-Full as the reference's scripts write it, with fewer nodes and shorter features."""
    root = tmp_path / "rgat"
    nodes = {"paper": PAPERS, "author": AUTHORS, "institute": 3, "fos": 7, "conference": 2, "journal": 4}
    random = np.random.default_rng(0)
    for kind, count in nodes.items():
        path = root / features_file(kind)
        path.parent.mkdir(parents=True)
        torch.save(torch.randn(count, SIZE).half(), path)
    for sender, name, receiver in EDGES:
        folder = root / columns_folder((sender, name, receiver))
        folder.mkdir(parents=True)
        edges = np.stack([random.integers(nodes[sender], size=90), random.integers(nodes[receiver], size=90)])
        # As the reference's library: as many starts as the last receiver needs.
        columns = in_columns(edges, int(edges[1].max()) + 1)
        torch.save(torch.from_numpy(columns.starts), folder / "indptr.pt")
        torch.save(torch.from_numpy(columns.sources), folder / "indices.pt")
    classes = np.full(PAPERS, np.nan, dtype=np.float32)
    classes[:LABELLED] = random.integers(5, size=LABELLED)
    classes.tofile(root / CLASSES_FILE)
    for module in (igbh, verify_rgat, rgat):
        for name, value in (("LABELLED", LABELLED), ("FEATURE_SIZE", SIZE)):
            if hasattr(module, name):
                monkeypatch.setattr(module, name, value)
    monkeypatch.setattr(igbh, "NODES", nodes)
    monkeypatch.setattr(verify_rgat, "EDGES", known_edges())
    return root


def known_edges() -> dict[Relation, int | None]:
    return {each: known and 90 for each, known in EDGES.items()}


def statuses(root: Path) -> dict[str, str]:
    return {report.file: report.status for report in verify("rgat", root)}


def test_full_trains_on_the_references_files(download: Path, tmp_path: Path) -> None:
    assert set(statuses(download).values()) == {"ok"}
    details = {report.file: report.detail for report in verify("rgat", download)}
    assert details[columns_folder(CITES)].startswith("90 edges; their number is not checked")
    assert details[columns_folder(WRITTEN)] == "90 edges"
    small = {"feature_size": SIZE, "hidden_size": 8, "classes": 5, "fan_out": "3-2"}
    short = {"global_batch_size": 4, "max_samples": 8, "evaluation_interval": 4, "evaluation_samples": 0}
    monkey = {"precision": "fp32", "data": download}
    overrides = {key: str(value) for key, value in (small | short | monkey).items()}
    overrides["evaluation_samples"] = "1"
    with pytest.raises(PitboardError, match="0 nodes are there to evaluate on"):
        execute(Output(tmp_path / "none"), plan(overrides), 0, Silent())
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(igbh, "HELD_OUT", 0.1)
        execute(Output(tmp_path / "out"), plan(overrides | {"evaluation_samples": "5"}), 0, Silent())
    evaluations = the_run(tmp_path / "out").evaluations
    assert [e.samples for e in evaluations] == [4, 8]
    # Of 30 papers.
    assert [e.epoch for e in evaluations] == [0.13, 0.27]


def plan(overrides: dict[str, str]) -> Plan:
    return Plan(benchmark="rgat", preset="full", overrides=overrides, seeds=[1], system="s", submitter="T")


def test_what_is_wrong_is_found(download: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    rev_topic = ("fos", "rev_topic", "paper")
    monkeypatch.setattr(verify_rgat, "EDGES", {**known_edges(), rev_topic: 91})
    cites = download / columns_folder(CITES)
    sources = torch.load(cites / "indices.pt")
    sources[7] = PAPERS
    torch.save(sources, cites / "indices.pt")
    topic = download / columns_folder(("paper", "topic", "fos"))
    torch.save(torch.load(topic / "indptr.pt")[:-1], topic / "indptr.pt")
    torch.save(torch.zeros(3, SIZE + 1).half(), download / features_file("institute"))
    author = download / features_file("author")
    author.write_bytes(author.read_bytes()[:300])
    (download / features_file("journal")).unlink()
    classes = np.fromfile(download / CLASSES_FILE, dtype=np.float32)
    classes[LABELLED - 1] = np.nan
    classes.tofile(download / CLASSES_FILE)
    found = {name: status for name, status in statuses(download).items() if status != "ok"}
    institutes = [columns_folder(r) for r in EDGES if {"institute", "author", "journal"} & {r[0], r[2]}]
    assert found == {
        features_file("author"): "wrong",
        features_file("institute"): "wrong",
        features_file("journal"): "missing",
        columns_folder(CITES): "wrong",
        columns_folder(("paper", "topic", "fos")): "wrong",
        columns_folder(rev_topic): "wrong",
        CLASSES_FILE: "wrong",
        **dict.fromkeys(institutes, "unchecked"),
    }


def test_pickled_code_is_never_run(download: Path) -> None:
    class Code:
        def __reduce__(self) -> tuple[Any, ...]:
            return (print, ("executed",))

    torch.save(Code(), download / features_file("fos"))
    with pytest.raises(PitboardError, match=r"Cannot read .*node_feat_fp16\.pt"):
        igbh.open_source(download)


def test_the_command_says_what_to_download_and_what_is_missing(pitboard: Command, tmp_path: Path) -> None:
    done = pitboard("data", "rgat")
    assert (done.returncode, done.stderr) == (0, "")
    assert "gnn-igbh-dataset-full.uri" in done.stdout
    done = pitboard("data", "rgat", "--path", tmp_path, "--format", "json")
    assert done.returncode == 1
    assert {file["status"] for file in json.loads(done.stdout)["files"]} == {"missing", "unchecked"}

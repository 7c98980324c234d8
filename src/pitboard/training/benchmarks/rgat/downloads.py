"""What the R-GAT benchmark needs to be downloaded and prepared, and what is known about it.

Sources: the reference's README (mlcommons/training, `graph_neural_network`) for the address and the size;
its scripts for the format and for what `compress_graph.py --layout CSC --use_fp16` writes: PyTorch tensors
`indptr.pt` and `indices.pt` for each relation, `node_feat_fp16.pt` for each type of node, and classes as
plain 32-bit floats in a file that is called `.npy` and has no header. The repository of the IGB datasets
for the licence. The counts of nodes by type are those of MLCommons' own inference reference for the same data
(mlcommons/inference, `graph/R-GAT/dgl_utilities/feature_fetching.py`), those of papers, authors and labels
also of the training reference; the counts of edges are those that a public converter of IGB for DGL's
GraphBolt asserts of the files (its `num_edges`), and with the citations they add up to IGB's published total,
5,812,005,639. None of this was held against the 2.2 TB themselves.
"""

from pitboard.training.data.downloads import Download

FEATURE_SIZE, CLASSES = 1024, 2983
LABELLED = 157_675_969
"""How many papers have one of the 2,983 classes: the first ones."""
NODES = {
    "paper": 269_346_174,
    "author": 277_220_883,
    "institute": 26_918,
    "fos": 712_960,
    "conference": 4547,
    "journal": 49_052,
}
"""How many nodes there are of each type."""
EDGES = {
    ("paper", "cites", "paper"): None,
    ("paper", "written_by", "author"): 716_761_549,
    ("author", "affiliated_to", "institute"): 48_521_486,
    ("paper", "topic", "fos"): 1_050_280_600,
    ("author", "rev_written_by", "paper"): 716_761_549,
    ("institute", "rev_affiliated_to", "author"): 48_521_486,
    ("fos", "rev_topic", "paper"): 1_050_280_600,
    ("paper", "published", "journal"): None,
    ("paper", "venue", "conference"): None,
    ("journal", "rev_published", "paper"): None,
    ("conference", "rev_venue", "paper"): None,
}
"""The relations in the reference's order, and how many edges each has; `None` where no source tells.

The citations are published as 3,996,442,004, but not whether a paper's citation of itself, which the
reference removes and adds again, is among them. Of the venues only the nodes are.
"""

ABOUT_MESSAGES = {
    relation: count / NODES[relation[2]] for relation, count in EDGES.items() if count is not None
} | {
    # Both directions of the citations, and each paper's two to itself.
    ("paper", "cites", "paper"): 2 * 3_996_442_004 / NODES["paper"] + 2,
    # Guesses: about a third of the papers in a journal, one in fifty at a conference.
    ("paper", "published", "journal"): 1_900.0,
    ("paper", "venue", "conference"): 1_200.0,
    ("journal", "rev_published", "paper"): 0.35,
    ("conference", "rev_venue", "paper"): 0.02,
}
"""About how many messages a node receives by each relation: what a made-up graph has."""

FOLDER = "full/processed"
CLASSES_FILE = f"{FOLDER}/paper/node_label_2K.npy"


def columns_folder(relation: tuple[str, str, str]) -> str:
    """Return the folder under the root that has a relation's edges."""
    return f"{FOLDER}/CSC/{'__'.join(relation)}"


def features_file(kind: str) -> str:
    """Return the file under the root that has the features of a type's nodes."""
    return f"{FOLDER}/{kind}/node_feat_fp16.pt"


DOWNLOADS = (
    Download(
        what="IGBH-Full: edges, FP32 features and classes; then `compress_graph.py --dataset_size=full"
        " --layout=CSC --use_fp16` of the reference writes what is read",
        size="2.2 TB, and half as much again for what is written",
        licence="ODC-By 1.0",
        uri="https://training.mlcommons-storage.org/metadata/gnn-igbh-dataset-full.uri",
        folder="",
    ),
)

"""What the R-GAT benchmark needs to be downloaded and prepared, and what is known about it.

Sources: the reference's README (mlcommons/training, `graph_neural_network`) for the address and the size;
its scripts for the format and for what `compress_graph.py --layout CSC --use_fp16` writes: PyTorch tensors
`indptr.pt` and `indices.pt` for each relation, `node_feat_fp16.pt` for each type of node, and classes as
plain 32-bit floats in a file that is called `.npy` and has no header. The repository of the IGB datasets
for the licence and for the counts of nodes.
"""

from pitboard.training.data.downloads import Download

FEATURE_SIZE, CLASSES = 1024, 2983
LABELLED = 157_675_969
"""How many papers have one of the 2,983 classes: the first ones."""
NODES = {"paper": 269_346_174, "author": 277_220_883, "institute": 26_918, "fos": 712_960}
"""How many nodes there are of the types whose number is published."""

# The published numbers have neither, and the files tell.
ABOUT_NODES = NODES | {"conference": 4_500, "journal": 49_000}
"""How many nodes of each type there are, of some about."""
ABOUT_EDGES = {
    ("paper", "cites", "paper"): 31.7,
    ("paper", "written_by", "author"): 2.6,
    ("author", "affiliated_to", "institute"): 1_700.0,
    ("paper", "topic", "fos"): 1_450.0,
    ("author", "rev_written_by", "paper"): 2.7,
    ("institute", "rev_affiliated_to", "author"): 0.17,
    ("fos", "rev_topic", "paper"): 3.8,
    ("paper", "published", "journal"): 1_900.0,
    ("paper", "venue", "conference"): 1_200.0,
    ("journal", "rev_published", "paper"): 0.35,
    ("conference", "rev_venue", "paper"): 0.02,
}
"""The relations in the reference's order, and about how many messages a node receives by each.

The citations are 3,996,442,004, in both directions, and each paper's two to itself; the others are estimates
that add up to the published total of 5,812,005,639 edges, the venues' apart.
"""
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

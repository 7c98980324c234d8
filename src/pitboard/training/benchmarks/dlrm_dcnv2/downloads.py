"""What the DLRM-DCNv2 benchmark needs to be downloaded, and what is known about it.

Sources: the reference's README and its lists of checksums (mlcommons/training,
`recommendation_v2/torchrec_dlrm`) for the address, the size and the names; its loader for the format: of each
day the numerical features as FP32 (rows, 13) in `day_0_dense.npy`, the labels as 32-bit numbers (rows, 1) in
`day_0_labels.npy`, and in `day_0_sparse_multi_hot.npz`, uncompressed, an array `0.npy` to `25.npy` of 32-bit
numbers (rows, ids) for each table. The card of criteo/CriteoClickLogs for the licence.
"""

from pitboard.training.data.downloads import Download

TRAINING_DAYS, EVALUATION_DAY = tuple(range(23)), 23
"""The days that are trained on; the first half of the last one is evaluated on."""

DOWNLOADS = (
    Download(
        what="24 days of Criteo's click logs, preprocessed, with several categories a feature",
        size="about 3.8 TB",
        licence="CC BY-NC-SA 4.0",
        uri="https://training.mlcommons-storage.org/metadata/dlrmv2-preprocessed-criteo-click-logs.uri",
        folder="",
    ),
)

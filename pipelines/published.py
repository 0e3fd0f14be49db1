"""Results that were published for MSFlow, to stand beside ours: the mean over classes, in 0-1."""

from __future__ import annotations

PAPER = "the paper (best epoch on the test set)"
LOG = "the release's log (last epoch)"

CLASSES = {"mvtec": 15, "visa": 12, "mtd": 1, "mstc": 12}  # that the means are over: fewer cannot be compared

PUBLISHED: dict[str, dict[str, dict[str, float]]] = {
    "mvtec": {
        PAPER: {"image_auroc_paper": 0.997, "pixel_auroc": 0.988, "aupro": 0.971},
        LOG: {"image_auroc_paper": 0.994, "pixel_auroc": 0.985},
    },
    "visa": {
        "the release's log (best epoch on the test set)": {
            "image_auroc_paper": 0.978,
            "pixel_auroc": 0.989,
            "aupro": 0.952,
        },
        LOG: {"image_auroc_paper": 0.953, "pixel_auroc": 0.988, "aupro": 0.939},
    },
    "mtd": {PAPER: {"image_auroc_paper": 0.992}},
    "mstc": {PAPER: {"pixel_auroc": 0.930}},
}

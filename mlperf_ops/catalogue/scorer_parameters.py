"""Parameters of the methods that score accuracy logs; the defaults are those of the official scripts."""

from __future__ import annotations

from typing import Literal, TypeAlias

from pydantic import Field

from mlperf_ops.catalogue.base import CatalogueModel, Count, Positive
from mlperf_ops.harness.accuracy_log import LabelType

Method: TypeAlias = Literal[
    "top1",
    "graph_top1",
    "detection",
    "squad",
    "segmentation",
    "speech",
    "clicks",
    "ranking",
    "summary",
    "mixed_answers",
    "long_context",
]
"""A module of mlperf_ops.accuracy; `mlperf_ops.accuracy.registry` names it."""

Dtype: TypeAlias = Literal["uint8", "int8", "int16", "int32", "int64", "float16", "float32", "float64"]
TokenDtype: TypeAlias = Literal["int32", "int64", "float32"]


class Top1(CatalogueModel):
    """How a class index is logged."""

    dtype: LabelType = "float32"


class GraphTop1(CatalogueModel):
    """How a class is logged, and which label file."""

    dtype: LabelType = "uint8"
    label_file: str = Field(default="paper/node_label_2K.npy", description="Below the folder of labels.")


class Detection(CatalogueModel):
    """How classes are numbered."""

    use_inv_map: bool = Field(
        default=False, description="Class n of the model is the n-th category of the annotations."
    )


class Squad(CatalogueModel):
    """How logits are logged, and how questions were cut into windows."""

    dtype: Dtype = "float32"
    transposed: bool = Field(default=False, description="[2, tokens] instead of [tokens, 2].")
    max_tokens: Count = Field(default=384, description="Of a window.")
    max_question_tokens: Count = 64
    stride_tokens: Count = Field(default=128, description="Between windows of one paragraph.")
    best: Count = Field(default=20, description="Starts and ends that are combined.")
    max_answer_tokens: Count = 30


class Segmentation(CatalogueModel):
    """How a class index is logged."""

    dtype: Dtype = "uint8"


class Speech(CatalogueModel):
    """How a transcript is logged. Recordings that are longer than the model's window are no samples."""

    alphabet: str
    dtype: Dtype = "int64"
    max_duration_s: Positive = 30.0


class Clicks(CatalogueModel):
    """How predictions are logged."""

    dtype: Dtype = "float32"
    sample_count: Count = Field(
        default=0, description="Samples that there have to be, where no trace says so; 0: as many as the log has."
    )


class Ranking(CatalogueModel):
    """The task's name in accuracy.txt, and how many responses there have to be."""

    task: str = "rating"
    sample_count: Count = Field(default=0, description="0: any number.")


class Summary(CatalogueModel):
    """How tokens are logged, the data set's column of right answers, and the form of accuracy.txt."""

    dtype: TokenDtype = "int64"
    target_column: str = "output"
    form: Literal["texts", "numbers"] = Field(
        default="texts", description="ROUGE in quotes; or as numbers, and tokens counted."
    )


class MixedAnswers(CatalogueModel):
    """How tokens are logged, and the data set's columns."""

    dtype: TokenDtype = "int64"
    kind_column: str = "dataset"
    target_column: str = "gt_output"


class LongContext(CatalogueModel):
    """How tokens are logged, and the data set's columns."""

    dtype: TokenDtype = "int64"
    target_column: str = "gt_output"
    method_column: str = "metric"


METHOD_PARAMETERS: dict[Method, type[CatalogueModel]] = {
    "top1": Top1,
    "graph_top1": GraphTop1,
    "detection": Detection,
    "squad": Squad,
    "segmentation": Segmentation,
    "speech": Speech,
    "clicks": Clicks,
    "ranking": Ranking,
    "summary": Summary,
    "mixed_answers": MixedAnswers,
    "long_context": LongContext,
}

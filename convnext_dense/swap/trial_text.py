"""A language model without a download, for trials of text-prompted detectors.

Grounding DINO and GLIP load BERT's vocabulary and weights from the Hugging Face hub. A trial tests
the image's side of a model, so it replaces them by one random embedding per word.
"""

from __future__ import annotations

import re
import tempfile
from functools import cache
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import torch
from mmengine.config import ConfigDict
from mmengine.model import BaseModel
from torch import Tensor, nn

# The width of BERT-base, which is fixed in GLIP's head.
LANGUAGE_DIM = 768
VOCABULARY = 1000
PADDING, START, END = range(3)


def replace_language_models(model: ConfigDict) -> list[str]:
    """Replace a detector's language model by word embeddings, and return what was replaced."""
    language_model = model.get("language_model")
    if not language_model:
        return []
    replaced = [f"language model {language_model.get('name')} (replaced by random embeddings)"]
    model.language_model = ConfigDict(
        type=WordEmbeddings,
        max_tokens=language_model.get("max_tokens", 256),
        pad_to_max=language_model.get("pad_to_max", True),
        pairwise_masks=language_model.get("use_sub_sentence_represent", False),
    )
    head = model.bbox_head
    if "lang_model_name" in head:
        head.lang_model_name = _bert_config()
        if head.get("early_fuse"):
            head.early_fuse = False
            replaced.append("early_fuse of the language model's layers into the head")
    return replaced


@cache
def _bert_config() -> str:
    """Make a folder with BERT-base's settings, from which GLIP's head reads the width."""
    folder = Path(tempfile.mkdtemp(prefix="bert_config_"))
    (folder / "config.json").write_text('{"model_type": "bert"}')
    return str(folder)


class _Body(nn.Embedding):
    language_dim = LANGUAGE_DIM


class WordEmbeddings(BaseModel):
    """One embedding per word, with the interface of mmdet's ``BertModel``.

    Args:
        max_tokens: Length that captions are padded to with ``pad_to_max``.
        pad_to_max: Whether to pad captions to ``max_tokens``, not to the longest caption.
        pairwise_masks: Whether masks are (N, T, T), as Grounding DINO reads them, not (N, T).
    """

    def __init__(
        self, max_tokens: int = 256, pad_to_max: bool = True, pairwise_masks: bool = False
    ) -> None:
        super().__init__()
        self.max_tokens = max_tokens
        self.pad_to_max = pad_to_max
        self.pairwise_masks = pairwise_masks
        body = _Body(VOCABULARY, LANGUAGE_DIM)
        self.language_backbone = nn.Sequential()
        self.language_backbone.add_module("body", body)

    def tokenizer(
        self, captions: list[str], padding: bool | str = False, **kwargs: Any
    ) -> SimpleNamespace:
        """Return the tokens' ``input_ids`` (N, T), and ``char_to_token`` of the first caption."""
        spans = [[m.span() for m in re.finditer(r"\w+|[^\w\s]", text)] for text in captions]
        length = max(map(len, spans)) + 2
        if padding == "max_length":
            length = max(length, self.max_tokens)
        ids = torch.full((len(captions), length), PADDING)
        for row, text, words in zip(ids, captions, spans, strict=True):
            codes = [3 + sum(map(ord, text[slice(*span)])) % (VOCABULARY - 3) for span in words]
            row[: len(words) + 2] = torch.tensor([START, *codes, END])

        def char_to_token(position: int) -> int | None:
            tokens = enumerate(spans[0], start=1)
            return next((i for i, (begin, end) in tokens if begin <= position < end), None)

        return SimpleNamespace(input_ids=ids, char_to_token=char_to_token)

    def forward(self, captions: list[str], **kwargs: Any) -> dict[str, Tensor]:
        """Embed captions: ``embedded`` (N, T, 768) and the masks and positions of the tokens."""
        ids = self.tokenizer(captions, "max_length" if self.pad_to_max else "longest").input_ids
        embedded = self.language_backbone(ids)
        words = ids != PADDING
        return dict(
            embedded=embedded,
            hidden=embedded,
            masks=words[:, :, None] & words[:, None] if self.pairwise_masks else words.long(),
            position_ids=torch.arange(ids.shape[1]).expand_as(ids),
            text_token_mask=words,
        )

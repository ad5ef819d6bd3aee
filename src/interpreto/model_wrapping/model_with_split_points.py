"""A model cut at chosen points: its activations there, and the predictions made from them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from enum import Enum
from functools import cached_property
from pathlib import Path
from typing import Any, overload

import numpy as np
import torch
import transformers
from torch import nn
from transformers import AutoConfig, AutoTokenizer, PreTrainedTokenizerBase

from interpreto.errors import InputError, check_count
from interpreto.model_wrapping.activation_store import ActivationStore, extract_to_store
from interpreto.model_wrapping.activations import ActivationGranularity, Activations, Aggregation, choice
from interpreto.model_wrapping.explained import Explained
from interpreto.model_wrapping.explained_text import ExplainedText
from interpreto.model_wrapping.extraction import Extraction
from interpreto.model_wrapping.nnsight_reader import NnsightReader
from interpreto.model_wrapping.pipelines import TextPipeline, model_and_tokenizer
from interpreto.model_wrapping.readers import HookReader, Reader, sided
from interpreto.model_wrapping.scorer import Scorer
from interpreto.model_wrapping.split_points import SplitPoint, blocks, find_split_points
from interpreto.model_wrapping.targets import Contrast, output_readout, split_targets
from interpreto.model_wrapping.traits import Traits
from interpreto.text import Sample, Token, find_elements, split_inputs
from interpreto.types import Granularity, InferenceMode, Task

_STORED = (torch.float16, torch.bfloat16, torch.float32, torch.float64)


class Backend(str, Enum):
    """Who reads activations."""

    HOOKS = "hooks"
    NNSIGHT = "nnsight"


class ModelWithSplitPoints:
    """A transformers model, and points in it where its activations are read, replaced and differentiated.

    The model and its tokenizer are the same afterwards, to the bit. A pass stops after the last point that it needs.

    Args:
        id_or_model: A loaded model, a transformers pipeline of one, a `CustomModel`, or the name or folder of one.
        split_points: Block numbers (the output of that block, the residual stream; negative from the end),
            `"encoder.5"` and `"decoder.3"` for encoder-decoders, module paths (`"model.layers.3.mlp"`), patterns
            with `*` for one name of a path and `**` for any number of them, paths with `":input"` for what enters the
            module (`"model.layers.3.mlp.down_proj:input"`: the neurons), or several of these. `.layers` lists what
            there is.
        automodel: `AutoModelFor...` class that loads a model from its name; by default the class that its
            configuration names.
        tokenizer: The model's fast tokenizer; loaded with the model where that is loaded here, and known to pipelines
            and custom models.
        device_map: Passed to `from_pretrained`.
        batch_size: Texts a forward pass; changes nothing but speed and memory. By default the engine chooses.
        truncation: Whether texts longer than the model reads are cut, with a warning, in place of refused.
        backend: Who reads activations: plain hooks, or `"nnsight"` (an extra), which gives the same numbers, runs
            every pass to its end, and is the door to models that run elsewhere.

    Raises:
        MissingExtraError: nnsight is asked for and not installed.
        InputError: No such block or module, or a loaded model without its tokenizer.

    >>> from interpreto.demo import load
    >>> model, tokenizer = load("topic")
    >>> split = ModelWithSplitPoints(model, split_points=-1, tokenizer=tokenizer)
    >>> split.get_activations(["A song by a band.", "A river."], "cls_token")
    Activations({'3': (2, 96)}, granularity='cls_token')
    """

    activation_granularities = ActivationGranularity

    def __init__(
        self,
        id_or_model: str | Path | nn.Module | TextPipeline,
        split_points: int | str | Sequence[int | str],
        *,
        automodel: Any = None,
        tokenizer: PreTrainedTokenizerBase | None = None,
        device_map: Any = None,
        batch_size: int | None = None,
        truncation: bool = False,
        backend: Backend | str = Backend.HOOKS,
    ) -> None:
        if batch_size is not None:
            check_count("batch_size", batch_size, 1)
        model: Any
        model, tokenizer = model_and_tokenizer(id_or_model, tokenizer)
        if isinstance(id_or_model, (str, Path)):
            model = _loaded(str(id_or_model), automodel, device_map)
            tokenizer = tokenizer or AutoTokenizer.from_pretrained(id_or_model)
        if tokenizer is None:
            raise InputError(
                "tokenizer: a loaded model needs its tokenizer; pass tokenizer=AutoTokenizer.from_pretrained(...)"
            )
        self.traits: Traits = Traits(model, tokenizer)
        self.split_points: tuple[SplitPoint, ...] = sided(self.traits, find_split_points(self.traits, split_points))
        self.batch_size = batch_size
        self.truncation = truncation
        nnsight = choice("backend", backend, Backend) is Backend.NNSIGHT
        self._reader: Reader = NnsightReader(self.traits) if nnsight else HookReader(self.traits)

    def __repr__(self) -> str:
        names = [point.name for point in self.split_points]
        return f"ModelWithSplitPoints({type(self.traits.base).__name__}, split_points={names})"

    @property
    def model(self) -> nn.Module:
        """The user's model."""
        return self.traits.model

    @property
    def tokenizer(self) -> PreTrainedTokenizerBase:
        """The user's tokenizer."""
        return self.traits.tokenizer

    @property
    def layers(self) -> list[str]:
        """What the model can be split at: block numbers, then module paths."""
        return [*blocks(self.traits), *(path for path, _ in self.traits.base.named_modules() if path)]

    @cached_property
    def task(self) -> Task:
        """What the model is for.

        Raises:
            ModelError: It has no head, or one of an unknown kind.
        """
        tokenizer = self.tokenizer
        return self.traits.recognise(list(tokenizer("a b c", verbose=False)["input_ids"]))

    def point_name(self, split_point: int | str) -> str:
        """The name of a split point that a user writes as number or path."""
        return find_split_points(self.traits, split_point)[0].name

    @overload
    def get_activations(
        self,
        inputs: Any,
        granularity: ActivationGranularity | str = ...,
        *,
        aggregation: Aggregation | str = ...,
        targets: Any = ...,
        include_predicted_classes: bool = ...,
        store: None = None,
        dtype: torch.dtype | None = ...,
        progress: bool = ...,
    ) -> Activations: ...

    @overload
    def get_activations(
        self,
        inputs: Any,
        granularity: ActivationGranularity | str = ...,
        *,
        aggregation: Aggregation | str = ...,
        targets: Any = ...,
        include_predicted_classes: bool = ...,
        store: str | Path,
        dtype: torch.dtype | None = ...,
        progress: bool = ...,
    ) -> ActivationStore: ...

    def get_activations(
        self,
        inputs: Any,
        granularity: ActivationGranularity | str = ActivationGranularity.TOKEN,
        *,
        aggregation: Aggregation | str = Aggregation.MEAN,
        targets: Any = None,
        include_predicted_classes: bool = False,
        store: str | Path | None = None,
        dtype: torch.dtype | None = None,
        progress: bool = False,
    ) -> Activations | ActivationStore:
        """Activations of texts at every split point, one forward pass a text.

        Batch size, order and neighbours change nothing but rounding.

        Args:
            inputs: Texts, as attribution methods take them.
            granularity: What one row belongs to.
            aggregation: How rows of several tokens become one: `"mean"`, `"max"`, `"first"`, `"last"`.
            targets: Models that write: their output per input, as text or ids; its tokens get rows too. Points in the
                decoder of an encoder-decoder need it.
            include_predicted_classes: Also the class that the model predicts for the text of each row, as
                `"predictions"`; the passes then go through to the end.
            store: A folder for large data: rows are written there in shards and nothing is kept in memory. A call that
                was killed goes on where it was when it is made again.
            dtype: The number type of the store; by default the model's.
            progress: Whether to show a progress bar while a store is filled.

        Returns:
            A mapping from split point to `(n, d)`, in the order of the inputs, on the processor and in the model's
            number type; or a store, whose rows stay on disk.

        Raises:
            InputError: An input that cannot be read, an unknown option, predictions of a model without classes, or a
                store of another model, other texts or other options.
            ModelError: The model answers with NaN.
        """
        extraction = self.extraction(granularity, aggregation, predictions=include_predicted_classes)
        if include_predicted_classes and self.task is not Task.CLASSIFICATION:
            raise InputError(f"include_predicted_classes: a {self.task.value} model predicts no class of a text")
        kind = getattr(self.traits.config, "problem_type", None)
        several = kind == "multi_label_classification"
        if include_predicted_classes and (several or kind == "regression" or self.traits.config.num_labels == 1):
            raise InputError(
                "include_predicted_classes: expected a model that predicts one class of a text, got one that predicts "
                f"{'several' if several else 'a number'}; leave it out"
            )
        if dtype is not None and (store is None or dtype not in _STORED):
            raise InputError(
                f"dtype: expected one of {[str(known) for known in _STORED]} for a store, got {dtype!r}"
                f"{' without store' if store is None else ''}; convert what comes back otherwise"
            )
        items = split_inputs(inputs)
        wanted = [None] * len(items) if targets is None else split_targets(targets, len(items))
        if store is None:
            return extraction.read(self.samples(items, targets))

        def samples(first: int, last: int) -> list[Sample]:
            return self.samples(items[first:last], None if targets is None else wanted[first:last], first)

        known_by = [(item, target, self.truncation) for item, target in zip(items, wanted, strict=True)]
        return extract_to_store(extraction, known_by, samples, Path(store), dtype=dtype, progress=progress)

    def extraction(
        self, granularity: ActivationGranularity | str, aggregation: Aggregation | str, *, predictions: bool = False
    ) -> Extraction:
        """How activations are read.

        Raises:
            InputError: An unknown granularity or aggregation.
        """
        return Extraction(
            self.traits,
            self._reader,
            self.split_points,
            choice("granularity", granularity, ActivationGranularity),
            choice("aggregation", aggregation, Aggregation),
            predictions,
            self.batch_size,
        )

    def samples(self, inputs: Any, targets: Any = None, first: int = 0) -> list[Sample]:
        """Texts as the rows of tokens that the model reads.

        Args:
            inputs: As `get_activations` takes them.
            targets: What a model that writes has written.
            first: The number of the first text, for errors.

        Raises:
            InputError: A text that cannot be read, or is longer than the model reads; targets of a model that does
                not write; no targets for a split point in a decoder.
        """
        sources = self.explained().sources(inputs, first)
        traits = self.traits
        writes = bool(traits.base.can_generate())
        if targets is not None:
            if not writes:
                raise InputError("targets: expected none for the activations of a model that does not write")
            return [text.sample for text in self.explained().texts(self.scorer(), sources, targets)]
        if writes and traits.is_encoder_decoder:
            if any(point.in_decoder for point in self.split_points):
                raise InputError(
                    "targets: split points in a decoder need what it writes; pass targets=[...], one output a text"
                )
            prefix = [Token(i, 0, 0, 0, fixed=True) for i in traits.decoder_prefix]
            sources = [sample.with_output("", (), prefix) for sample in sources]
        return sources

    def explained(self) -> Explained:
        """What inputs and targets of explanations become."""
        return Explained(self.traits, Granularity.TOKEN, Granularity.TOKEN, truncation=self.truncation)

    def scorer(self, mode: InferenceMode = InferenceMode.LOGITS, batch_size: int | None = None) -> Scorer:
        """The engine for target scores."""
        return Scorer(self.traits, self.task, mode, self.traits.filling(None), batch_size or self.batch_size)

    def explained_texts(self, scorer: Scorer, inputs: Any, targets: Any) -> list[ExplainedText]:
        """Inputs and targets as explained functions.

        Args:
            scorer: The engine.
            inputs: As `get_activations` takes them.
            targets: As attribution methods take them, one entry per input, but that a plain list of classes is meant
                for every input. Nothing: the predicted class; for a causal language model every token of the text
                itself, each predicted from those before it; otherwise the model's own answer.
        """
        explained = self.explained()
        sources = explained.sources(inputs)
        if scorer.task is Task.CLASSIFICATION and isinstance(targets, (list, tuple)) and _flat(targets):
            targets = [list(targets)] * len(sources)
            targets = targets if len(sources) > 1 else targets[0]
        if scorer.task is Task.CAUSAL_LM and targets is None:
            return [_every_position(source, k) for k, source in enumerate(sources)]
        return explained.texts(scorer, sources, targets)


def _flat(targets: Sequence[Any]) -> bool:
    return all(isinstance(target, (int, np.integer, str, Contrast)) for target in targets)


def _every_position(source: Sample, number: int) -> ExplainedText:
    """A text whose tokens are all its own targets, but for the first one, which nothing predicts."""
    sample = replace(source, output_start=1)
    groups = [group for group in find_elements(sample, Granularity.TOKEN) if group.tokens[0] >= 1]
    if not groups:
        raise InputError(
            f"inputs[{number}]: expected at least two tokens, of which the second is predicted from the first, got "
            f"{source.parts[0]!r:.60}"
        )
    return ExplainedText(f"inputs[{number}]", sample, (), output_readout(sample, groups))


def _loaded(name: str, automodel: Any, device_map: Any) -> nn.Module:
    options = {} if device_map is None else {"device_map": device_map}
    if automodel is None:
        architectures = getattr(AutoConfig.from_pretrained(name), "architectures", None) or [""]
        automodel = getattr(transformers, architectures[0], None)
        if automodel is None:
            raise InputError(
                f"automodel: the configuration of {name} names no class of transformers; "
                "pass one, such as AutoModelForSequenceClassification"
            )
    return automodel.from_pretrained(name, **options)  # type: ignore[no-any-return]

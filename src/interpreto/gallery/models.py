"""Models of a gallery: what they do, how they are loaded, and what they say of texts."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from interpreto.errors import InputError, ModelError
from interpreto.gallery.catalogue import GalleryTask
from interpreto.gallery.spec import ModelSource
from interpreto.loading import SHIPPED, first_architecture, is_shipped, load_config
from interpreto.loading import load_model as load_named
from interpreto.model_wrapping import Engine, Explained, ModelWithSplitPoints, Traits
from interpreto.types import Granularity, InferenceMode

if TYPE_CHECKING:
    import transformers

CLASSIFIER, CAUSAL, SEQ2SEQ = (
    "AutoModelForSequenceClassification",
    "AutoModelForCausalLM",
    "AutoModelForSeq2SeqLM",
)


@dataclass(frozen=True, slots=True)
class KnownModel:
    """A model that is not loaded yet.

    Args:
        source: Where it is.
        task: What it does.
        loader: The class of transformers that loads it.
        place: What `from_pretrained` is given: the folder, where it is one beside the spec.
    """

    source: ModelSource
    task: GalleryTask
    loader: str
    place: str


def know(source: ModelSource, folder: Path) -> KnownModel:
    """What a model does, by its configuration.

    Args:
        source: The model.
        folder: Where names of folders begin.

    Raises:
        InputError: No such model, or one that neither classifies texts nor writes.
    """
    place = str(folder / source.id) if (folder / source.id).is_dir() else source.id
    with _told(source):
        config = None if is_shipped(source.id) else load_config(place, source.revision)
    if config is None:
        writes = source.id == f"{SHIPPED}stories"
        task: GalleryTask = "generation" if writes else "classification"
        _check_task(source, task)
        return KnownModel(source, task, CAUSAL if writes else CLASSIFIER, source.id)
    name = first_architecture(config) or ""
    if "ForSequenceClassification" in name:
        task, loader = "classification", CLASSIFIER
    elif config.is_encoder_decoder and source.task != "classification":
        task, loader = "generation", SEQ2SEQ
    elif "CausalLM" in name or "LMHead" in name or "ForConditionalGeneration" in name:
        task, loader = "generation", CAUSAL
    elif source.task is None:
        raise InputError(
            f"{source.where}.task: the configuration of {source.id!r:.80} does not say whether it classifies texts or "
            f"writes ({name[:80] or 'no architectures'}); write task: classification or task: generation"
        )
    else:
        task, loader = source.task, CLASSIFIER if source.task == "classification" else CAUSAL
    _check_task(source, task)
    return KnownModel(source, task, loader, place)


def _check_task(source: ModelSource, task: GalleryTask) -> None:
    if source.task not in (None, task):
        raise InputError(
            f"{source.where}.task: expected {task}, which is what {source.id!r:.80} does, got {source.task}"
        )


@dataclass(frozen=True, eq=False)
class LoadedModel:
    """A model and its tokenizer.

    Args:
        known: Where it came from, and what it does.
        model: The model.
        tokenizer: Its tokenizer.
    """

    known: KnownModel
    model: transformers.PreTrainedModel
    tokenizer: transformers.PreTrainedTokenizerBase

    @property
    def generation(self) -> dict[str, Any]:
        """Settings of `generate`."""
        return dict(self.known.source.generation)

    @cached_property
    def class_names(self) -> list[str]:
        """Names of the classes, by index."""
        labels: Any = self.model.config.id2label
        return [str(labels[k]) for k in range(len(labels))]

    def predicted(self, texts: Sequence[str]) -> list[str]:
        """The class that a classifier finds for each text."""
        split = ModelWithSplitPoints(self.model, -1, tokenizer=self.tokenizer)
        found = split.get_activations(list(texts), "sample", include_predicted_classes=True)
        return [self.class_names[k] for k in found["predictions"].tolist()]

    def written(self, texts: Sequence[str]) -> list[tuple[str, list[int]]]:
        """What the model writes after each text, and its ids."""
        traits = Traits(self.model, self.tokenizer)
        explained = Explained(traits, Granularity.TOKEN, Granularity.TOKEN, generation=self.generation)
        sources = explained.sources(list(texts))
        scorer = Engine(InferenceMode.LOGITS, None, None, False).scorer(traits, traits.recognise(sources[0].ids))
        samples = [text.sample for text in explained.texts(scorer, sources, None)]
        return [(sample.parts[-1], list(sample.ids[sample.output_start :])) for sample in samples]


def load_model(known: KnownModel) -> LoadedModel:
    """Load a model and its tokenizer, ready to be explained.

    Raises:
        InputError: It cannot be loaded.
    """
    source = known.source
    with _told(source):
        return LoadedModel(
            known,
            *load_named(known.place, source.revision, source.device, loader=known.loader, options=source.options),
        )


@contextmanager
def _told(source: ModelSource) -> Iterator[None]:
    """Say in an error which part of the spec it is about."""
    try:
        yield
    except (InputError, ModelError) as error:
        option, _, problem = str(error).partition(": ")
        key = {"model": "id"}.get(option, option)
        raise InputError(f"{source.where}.{key}: {problem}") from error

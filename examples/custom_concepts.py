"""Write your own concept model: one short class with `learn`, tried on a trained model that comes with the package.

`learn` gets rows of activations and returns a frozen model that encodes and decodes; fitting, checks, reports, saving
and loading, interpretations and importances are there already. Here a concept is the direction from the mean of all
rows to the mean of those rows that lie farthest along one random direction.

Run it: python examples/custom_concepts.py
"""

from dataclasses import dataclass
from typing import ClassVar, final

import torch
from torch.nn.functional import normalize

from interpreto import ModelWithSplitPoints
from interpreto.concepts import LearnedConcepts
from interpreto.concepts.concept_model import ConceptModel
from interpreto.concepts.fitting import FitLog
from interpreto.concepts.models import PCAConcepts
from interpreto.concepts.models.affine_model import AffineModel
from interpreto.demo import load
from interpreto.model_wrapping import ActivationRows


@final
@dataclass(eq=False, kw_only=True)
class FarMeans(LearnedConcepts):
    """Unit directions `D` to the means of the farthest rows, with codes of least squares: `z = (x - mean) pinv(D)`.

    Args:
        share: Of all rows, those that are averaged for each direction.
    """

    share: float = 0.1

    concept_model_kinds: ClassVar[tuple[type[ConceptModel], ...]] = (AffineModel,)

    def learn(self, activations: ActivationRows, log: FitLog) -> ConceptModel:
        x = activations.all().to(self.fit_device)
        centred = x - x.mean(dim=0)
        rng = torch.Generator().manual_seed(self.seed)
        random = torch.randn(x.shape[1], self.nb_concepts, generator=rng).to(x)
        farthest = (centred @ random).topk(max(1, int(self.share * len(x))), dim=0).indices
        directions = normalize(centred[farthest].mean(dim=0), dim=1)
        return AffineModel(x.mean(dim=0), torch.linalg.pinv(directions).T.contiguous(), directions)


def main() -> None:
    model, tokenizer = load("topic")
    split_model = ModelWithSplitPoints(model, split_points=-1, tokenizer=tokenizer)
    texts = [
        f"{name} is a {kind}."
        for name in ("Aurora", "Belmont", "Carina", "Delta")
        for kind in (
            "river",
            "band",
            "village",
            "football player",
            "company",
            "book",
            "plant",
            "school",
            "ship",
            "film",
        )
    ]
    activations = split_model.get_activations(texts, "token")
    for concepts in (FarMeans(split_model, nb_concepts=10), PCAConcepts(split_model, nb_concepts=10)):
        report = concepts.fit(activations)
        codes = concepts.encode(activations)
        print(f"{type(concepts).__name__:12} {report}; codes {tuple(codes.shape)}")


if __name__ == "__main__":
    main()

"""Figures 2 and 3 of the paper, as printed but for the names of the models."""

import torch

from interpreto import Lime, Occlusion, plot_attributions
from interpreto.demo import load


def test_figure_2(tmp_path):
    model, tokenizer = load("emotion")
    classes_names = ["anger", "disgust", "fear", "joy", "neutral", "sadness", "surprise"]

    # Instantiate the explainer
    explainer = Lime(model, tokenizer)

    # Compute the explanation
    attributions = explainer(
        "We are thrilled to present you Interpreto!", targets=torch.arange(len(classes_names)).view(1, -1)
    )

    # Visualize the explanation
    plot = plot_attributions(attributions[0], classes_names=classes_names)

    assert attributions[0].scores.shape == (7, 8)
    assert attributions[0].target_names == tuple(classes_names)
    assert [element.text for element in attributions[0].elements] == [
        "We", " are", " thrilled", " to", " present", " you", " Interpreto", "!"
    ]  # fmt: skip
    plot.save(tmp_path / "figure.html")
    assert "thrilled" in (tmp_path / "figure.html").read_text(encoding="utf-8")


def test_the_word_that_made_the_decision():
    (result,) = Lime(*load("emotion"))("I was scared of the dark and could not sleep.")
    assert result.target_names == ("fear",)
    assert result.elements[int(result.scores[0].argmax())].text == " scared"


def test_figure_3():
    model, tokenizer = load("stories")

    # Instantiate the explainer
    explainer = Occlusion(model, tokenizer)

    # Compute the explanation
    attributions = explainer.explain(
        "An interpretability open-source library is great,", " but, for HF language models, it is even better."
    )

    # Visualize the explanation
    plot = plot_attributions(attributions[0])

    (result,) = attributions
    assert "".join(result.target_names) == " but, for HF language models, it is even better."
    assert "".join(element.text for element in result.elements if element.part == 0) == result.sample.parts[0]
    assert result.sample.ids == (
        tokenizer(result.sample.parts[0])["input_ids"]
        + tokenizer(result.sample.parts[1], add_special_tokens=False)["input_ids"]
    )
    assert "language" in plot.html()

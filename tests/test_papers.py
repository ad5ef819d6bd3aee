"""Figures 2, 3, 5 and 8a of the paper, as printed but for the models, the data and the language model that labels."""

import os

import torch
from transformers import AutoModelForSequenceClassification

from interpreto import Lime, ModelWithSplitPoints, Occlusion, plot_attributions
from interpreto.concepts import LLMLabels, SemiNMFConcepts
from interpreto.demo import load
from interpreto.model_wrapping import llm_interface
from interpreto.model_wrapping.llm_interface import RecordedLLM


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


STORIES = [
    "Once upon a time, there was a little dog named Spot. Spot loved to play in the park.",
    "Lily and Tom went to the beach. They saw a big red ball and a small boat.",
    "The sun was warm. A bird sang in the tall tree and the cat slept.",
    "Tim was sad because he lost his toy. His mom gave him a big hug.",
    "One day, a girl found a shiny stone. She was very happy and ran home.",
]


def test_figure_5(monkeypatch):
    model, tokenizer = load("stories")
    datasets_text = STORIES * 4
    monkeypatch.setattr(llm_interface, "OpenAILLM", lambda key: llm_interface.RecordedLLM(lambda chat: "Animal names"))

    TOKEN = ModelWithSplitPoints.activation_granularities.TOKEN  # noqa: N806  # as printed

    # 1.1 Split your model in two parts
    mbsp = ModelWithSplitPoints(
        model,
        tokenizer=tokenizer,
        split_points=[2],
    )

    # 1.2 Compute a dataset of activations
    dataset = datasets_text[:100]
    activations = mbsp.get_activations(dataset, TOKEN)

    # 2. Train the concept model
    explainer = SemiNMFConcepts(mbsp, nb_concepts=20)
    explainer.fit(activations)

    # 3. Interpret the concepts
    llm = llm_interface.OpenAILLM(os.getenv("OPENAI_API_KEY"))
    interpreter = LLMLabels(
        concept_explainer=explainer,
        activation_granularity=TOKEN,
        llm_interface=llm,
        k_context=10,
    )
    interpretations = interpreter.interpret("all", dataset, activations)

    assert list(interpretations) == list(range(20))
    assert {reading.label for reading in interpretations.values() if reading.examples} == {"Animal names"}
    assert explainer.report.explained_variance > 0.3
    assert all(example.text.strip() == example.text for r in interpretations.values() for example in r.examples)


NAMES = ["Ada", "Boris", "Clara", "Dan", "Ella", "Frank", "Greta", "Hans", "Iris", "Jon", "Kira", "Leo"]
CLASS_TEXTS = {
    "Album": "{} is the second studio album by the rock band {}, released in 1994 by Sub Records.",
    "Film": "{} is a 1999 Italian drama film directed by {} and starring many actors.",
    "Village": "{} is a village in the district of {}, in the north of Iran. At the 2006 census its population was 81.",
}


def test_figure_8a(monkeypatch):
    model, tokenizer = load("topic")
    texts = [form.format(a, b) for form in CLASS_TEXTS.values() for a in NAMES[:6] for b in NAMES[6:]]
    classes_names = list(model.config.id2label.values())

    # set the granularity to [CLS] to keep only this token's activation
    granularity = ModelWithSplitPoints.activation_granularities.CLS_TOKEN
    # set the LLM interface used to generate labels based on the constructed prompts
    llm_interface = RecordedLLM(lambda chat: "Works by bands")

    # 1. Split the model into two and get a class-wise dataset of activations
    # 1.1 Split the model
    model_with_split_points = ModelWithSplitPoints(
        model, tokenizer=tokenizer, split_points=[2],  # split at the third layer
        automodel=AutoModelForSequenceClassification, batch_size=1024
    )  # fmt: skip
    # 1.2 Construct the dataset of activations (extract the ones related to the class)
    inputs = texts[:1000]
    # Compute the [CLS] token activations
    activations = model_with_split_points.get_activations(inputs, granularity, include_predicted_classes=True)

    found = {}
    for target, class_name in enumerate(classes_names):  # iterate over classes
        # 1.3 Take the subset for the target class (predicted class)
        indices = (activations["predictions"] == target).nonzero(as_tuple=True)[0]
        class_wise_inputs = [inputs[i] for i in indices]
        class_wise_activations = {k: v[indices] for k, v in activations.items()}
        if len(indices) < 20:
            continue  # not printed: fewer texts of this class than concepts

        # 2. train concept model
        concept_explainer = SemiNMFConcepts(model_with_split_points, nb_concepts=20, device="cpu")
        concept_explainer.fit(class_wise_activations)

        # 4. compute concepts importance (before interpretations to limit the number of concepts interpreted)
        gradients = concept_explainer.concept_output_gradient(class_wise_inputs, [target],
            activation_granularity=granularity, batch_size=64)  # fmt: skip

        # stack gradients on samples and average them over samples
        concept_importances = torch.stack(gradients, axis=0).squeeze().abs().mean(dim=0)  # (num_concepts,)
        # for each class, sort the importance scores
        important_concept_indices = torch.argsort(concept_importances, descending=True).tolist()

        # 3. interpret the important concepts
        llm_labels_method = LLMLabels(concept_explainer=concept_explainer, activation_granularity=granularity,
            llm_interface=llm_interface, k_examples=20,)  # fmt: skip
        concept_interpretations = llm_labels_method.interpret(inputs=class_wise_inputs,
            concepts_indices=important_concept_indices)  # fmt: skip
        found[class_name] = (concept_importances, important_concept_indices, concept_interpretations)

    assert set(found) == set(CLASS_TEXTS)
    for importances, order, interpretations in found.values():
        assert importances.shape == (20,)
        assert list(interpretations) == order
        assert {reading.label for reading in interpretations.values() if reading.examples} == {"Works by bands"}

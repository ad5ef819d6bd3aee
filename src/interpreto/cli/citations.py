"""Where methods come from: the papers, and which of them each public class is from."""

from __future__ import annotations

import re
from dataclasses import dataclass

_NEURIPS = "Advances in Neural Information Processing Systems"
_ICML = "International Conference on Machine Learning"
_ICLR = "International Conference on Learning Representations"
_ACL = "Annual Meeting of the Association for Computational Linguistics"
_EMNLP = "Conference on Empirical Methods in Natural Language Processing"


@dataclass(frozen=True, slots=True)
class Paper:
    """One entry of a bibliography; what is not known for sure is left out.

    Args:
        key: Its key.
        author: In BibTeX's form.
        title: As it is written.
        year: Of the version that is cited.
        journal: Where an article appeared.
        booktitle: At which conference it was, or in which book.
        publisher: Of a book.
        arxiv: Its number.
        doi: Its number.
        url: Where it is, for what is on a page of its own.
    """

    key: str
    author: str
    title: str
    year: int
    journal: str | None = None
    booktitle: str | None = None
    publisher: str | None = None
    arxiv: str | None = None
    doi: str | None = None
    url: str | None = None

    def bibtex(self) -> str:
        """The entry, ready for a `.bib` file in UTF-8.

        >>> print(Paper("owen1977", "Owen, Guillermo", "Games & unions", 1977, doi="10.1007/b").bibtex())
        @misc{owen1977,
          author = {Owen, Guillermo},
          title = {{Games \\& unions}},
          year = {1977},
          doi = {10.1007/b},
        }
        """
        kind = (
            "article" if self.journal else "inproceedings" if self.booktitle else "book" if self.publisher else "misc"
        )
        fields = {
            "author": _escaped(self.author),
            "title": f"{{{_escaped(self.title)}}}",  # the second pair keeps capitals
            "year": str(self.year),
            "journal": _escaped(self.journal),
            "booktitle": _escaped(self.booktitle),
            "publisher": _escaped(self.publisher),
            "eprint": self.arxiv,
            "archiveprefix": "arXiv" if self.arxiv else None,
            "doi": self.doi,
            "url": self.url,
        }
        lines = [f"  {name} = {{{value}}}," for name, value in fields.items() if value]
        return "\n".join([f"@{kind}{{{self.key},", *lines, "}"])


def _escaped(text: str | None) -> str | None:
    """Letters that mean something to TeX, as themselves."""
    return None if text is None else re.sub(r"([&%$#_])", r"\\\1", text)


PAPERS = (
    Paper(
        "abnar2020",
        "Abnar, Samira and Zuidema, Willem",
        "Quantifying Attention Flow in Transformers",
        2020,
        booktitle=_ACL,
        arxiv="2005.00928",
    ),
    Paper(
        "achtibat2024",
        "Achtibat, Reduan and others",
        "AttnLRP: Attention-Aware Layer-Wise Relevance Propagation for Transformers",
        2024,
        booktitle=_ICML,
        arxiv="2402.05602",
    ),
    Paper(
        "adebayo2018",
        "Adebayo, Julius and Gilmer, Justin and Muelly, Michael and Goodfellow, Ian and Hardt, Moritz and Kim, Been",
        "Sanity Checks for Saliency Maps",
        2018,
        booktitle=_NEURIPS,
        arxiv="1810.03292",
    ),
    Paper(
        "alain2016",
        "Alain, Guillaume and Bengio, Yoshua",
        "Understanding intermediate layers using linear classifier probes",
        2016,
        arxiv="1610.01644",
    ),
    Paper(
        "ali2022",
        "Ali, Ameen and Schnake, Thomas and Eberle, Oliver and Montavon, Grégoire and Müller, Klaus-Robert and "
        "Wolf, Lior",
        "XAI for Transformers: Better Explanations through Conservative Propagation",
        2022,
        booktitle=_ICML,
        arxiv="2202.07304",
    ),
    Paper(
        "arditi2024",
        "Arditi, Andy and others",
        "Refusal in Language Models Is Mediated by a Single Direction",
        2024,
        booktitle=_NEURIPS,
        arxiv="2406.11717",
    ),
    Paper(
        "belrose2023leace",
        "Belrose, Nora and Schneider-Joseph, David and Ravfogel, Shauli and Cotterell, Ryan and Raff, Edward and "
        "Biderman, Stella",
        "LEACE: Perfect linear concept erasure in closed form",
        2023,
        booktitle=_NEURIPS,
        arxiv="2306.03819",
    ),
    Paper(
        "belrose2023lens",
        "Belrose, Nora and others",
        "Eliciting Latent Predictions from Transformers with the Tuned Lens",
        2023,
        arxiv="2303.08112",
    ),
    Paper(
        "bills2023",
        "Bills, Steven and others",
        "Language models can explain neurons in language models",
        2023,
        url="https://openaipublic.blob.core.windows.net/neuron-explainer/paper/index.html",
    ),
    Paper(
        "bricken2023",
        "Bricken, Trenton and others",
        "Towards Monosemanticity: Decomposing Language Models With Dictionary Learning",
        2023,
        journal="Transformer Circuits Thread",
        url="https://transformer-circuits.pub/2023/monosemantic-features",
    ),
    Paper(
        "bussmann2024",
        "Bussmann, Bart and Leask, Patrick and Nanda, Neel",
        "BatchTopK Sparse Autoencoders",
        2024,
        arxiv="2412.06410",
    ),
    Paper(
        "bussmann2025",
        "Bussmann, Bart and Nabeshima, Noa and Karvonen, Adam and Nanda, Neel",
        "Learning Multi-Level Features with Matryoshka Sparse Autoencoders",
        2025,
        arxiv="2503.17547",
    ),
    Paper(
        "castro2009",
        "Castro, Javier and Gómez, Daniel and Tejada, Juan",
        "Polynomial calculation of the Shapley value based on sampling",
        2009,
        journal="Computers & Operations Research",
        doi="10.1016/j.cor.2008.04.004",
    ),
    Paper("cochran1977", "Cochran, William G.", "Sampling Techniques", 1977, publisher="Wiley"),
    Paper(
        "cohenwang2024",
        "Cohen-Wang, Benjamin and Shah, Harshay and Georgiev, Kristian and Madry, Aleksander",
        "ContextCite: Attributing Model Generation to Context",
        2024,
        booktitle=_NEURIPS,
        arxiv="2409.00729",
    ),
    Paper(
        "costa2025",
        "Costa, Valérie and others",
        "From Flat to Hierarchical: Extracting Sparse Representations with Matching Pursuit",
        2025,
        arxiv="2506.03093",
    ),
    Paper(
        "covert2021",
        "Covert, Ian and Lee, Su-In",
        "Improving KernelSHAP: Practical Shapley Value Estimation via Linear Regression",
        2021,
        booktitle="International Conference on Artificial Intelligence and Statistics",
        arxiv="2012.01536",
    ),
    Paper(
        "dalvi2019",
        "Dalvi, Fahim and Durrani, Nadir and Sajjad, Hassan and Belinkov, Yonatan and Bau, Anthony and Glass, James",
        "What Is One Grain of Sand in the Desert? Analyzing Individual Neurons in Deep NLP Models",
        2019,
        booktitle="AAAI Conference on Artificial Intelligence",
        arxiv="1812.09355",
    ),
    Paper(
        "deyoung2020",
        "DeYoung, Jay and Jain, Sarthak and Rajani, Nazneen Fatema and Lehman, Eric and Xiong, Caiming and "
        "Socher, Richard and Wallace, Byron C.",
        "ERASER: A Benchmark to Evaluate Rationalized NLP Models",
        2020,
        booktitle=_ACL,
        arxiv="1911.03429",
    ),
    Paper(
        "ding2010",
        "Ding, Chris and Li, Tao and Jordan, Michael I.",
        "Convex and Semi-Nonnegative Matrix Factorizations",
        2010,
        journal="IEEE Transactions on Pattern Analysis and Machine Intelligence",
    ),
    Paper(
        "eckart1936",
        "Eckart, Carl and Young, Gale",
        "The approximation of one matrix by another of lower rank",
        1936,
        journal="Psychometrika",
    ),
    Paper(
        "erion2021",
        "Erion, Gabriel and Janizek, Joseph D. and Sturmfels, Pascal and Lundberg, Scott M. and Lee, Su-In",
        "Improving performance of deep learning models with axiomatic attribution priors and expected gradients",
        2021,
        journal="Nature Machine Intelligence",
        arxiv="1906.10670",
    ),
    Paper(
        "fel2021",
        "Fel, Thomas and Cadène, Rémi and Chalvidal, Mathieu and Cord, Matthieu and Vigouroux, David and Serre, Thomas",
        "Look at the Variance! Efficient Black-box Explanations with Sobol-based Sensitivity Analysis",
        2021,
        booktitle=_NEURIPS,
        arxiv="2111.04138",
    ),
    Paper(
        "fel2023",
        "Fel, Thomas and others",
        "A Holistic Approach to Unifying Automatic Concept Extraction and Concept Importance Estimation",
        2023,
        booktitle=_NEURIPS,
        arxiv="2306.07304",
    ),
    Paper(
        "fel2023craft",
        "Fel, Thomas and others",
        "CRAFT: Concept Recursive Activation FacTorization for Explainability",
        2023,
        booktitle="IEEE/CVF Conference on Computer Vision and Pattern Recognition",
        arxiv="2211.10154",
    ),
    Paper(
        "fel2025",
        "Fel, Thomas and others",
        "Archetypal SAE: Adaptive and Stable Dictionary Learning for Concept Extraction in Large Vision Models",
        2025,
        arxiv="2502.12892",
    ),
    Paper(
        "gao2025",
        "Gao, Leo and others",
        "Scaling and evaluating sparse autoencoders",
        2025,
        booktitle=_ICLR,
        arxiv="2406.04093",
    ),
    Paper(
        "ghorbani2019",
        "Ghorbani, Amirata and Wexler, James and Zou, James and Kim, Been",
        "Towards Automatic Concept-based Explanations",
        2019,
        booktitle=_NEURIPS,
        arxiv="1902.03129",
    ),
    Paper(
        "guo2017",
        "Guo, Chuan and Pleiss, Geoff and Sun, Yu and Weinberger, Kilian Q.",
        "On Calibration of Modern Neural Networks",
        2017,
        booktitle=_ICML,
        arxiv="1706.04599",
    ),
    Paper(
        "gurarieh2025",
        "Gur-Arieh, Yoav and others",
        "Enhancing Automated Interpretability with Output-Centric Feature Descriptions",
        2025,
        arxiv="2501.08319",
    ),
    Paper(
        "heusel2017",
        "Heusel, Martin and Ramsauer, Hubert and Unterthiner, Thomas and Nessler, Bernhard and Hochreiter, Sepp",
        "GANs Trained by a Two Time-Scale Update Rule Converge to a Local Nash Equilibrium",
        2017,
        booktitle=_NEURIPS,
        arxiv="1706.08500",
    ),
    Paper(
        "hewitt2019",
        "Hewitt, John and Liang, Percy",
        "Designing and Interpreting Probes with Control Tasks",
        2019,
        booktitle=_EMNLP,
        arxiv="1909.03368",
    ),
    Paper(
        "hooker2019",
        "Hooker, Sara and Erhan, Dumitru and Kindermans, Pieter-Jan and Kim, Been",
        "A Benchmark for Interpretability Methods in Deep Neural Networks",
        2019,
        booktitle=_NEURIPS,
        arxiv="1806.10758",
    ),
    Paper(
        "huben2024",
        "Huben, Robert and Cunningham, Hoagy and Smith, Logan Riggs and Ewart, Aidan and Sharkey, Lee",
        "Sparse Autoencoders Find Highly Interpretable Features in Language Models",
        2024,
        booktitle=_ICLR,
        arxiv="2309.08600",
    ),
    Paper(
        "hyvarinen2000",
        "Hyvärinen, Aapo and Oja, Erkki",
        "Independent component analysis: algorithms and applications",
        2000,
        journal="Neural Networks",
    ),
    Paper(
        "jansen1999",
        "Jansen, Michiel J. W.",
        "Analysis of variance designs for model output",
        1999,
        journal="Computer Physics Communications",
        doi="10.1016/S0010-4655(98)00154-4",
    ),
    Paper("jolliffe2002", "Jolliffe, Ian T.", "Principal Component Analysis", 2002, publisher="Springer"),
    Paper(
        "jourdan2023",
        "Jourdan, Fanny and others",
        "COCKATIEL: COntinuous Concept ranKed ATtribution with Interpretable ELements for explaining neural net "
        "classifiers on NLP tasks",
        2023,
        booktitle="Findings of the Association for Computational Linguistics",
        arxiv="2305.06754",
    ),
    Paper(
        "karvonen2025",
        "Karvonen, Adam and others",
        "SAEBench: A Comprehensive Benchmark for Sparse Autoencoders in Language Model Interpretability",
        2025,
        arxiv="2503.09532",
    ),
    Paper(
        "kim2018",
        "Kim, Been and Wattenberg, Martin and Gilmer, Justin and Cai, Carrie and Wexler, James and Viegas, Fernanda "
        "and Sayres, Rory",
        "Interpretability Beyond Feature Attribution: Quantitative Testing with Concept Activation Vectors (TCAV)",
        2018,
        booktitle=_ICML,
        arxiv="1711.11279",
    ),
    Paper(
        "lee1999",
        "Lee, Daniel D. and Seung, H. Sebastian",
        "Learning the parts of objects by non-negative matrix factorization",
        1999,
        journal="Nature",
    ),
    Paper(
        "lloyd1982",
        "Lloyd, Stuart P.",
        "Least squares quantization in PCM",
        1982,
        journal="IEEE Transactions on Information Theory",
    ),
    Paper(
        "lundberg2017",
        "Lundberg, Scott M. and Lee, Su-In",
        "A Unified Approach to Interpreting Model Predictions",
        2017,
        booktitle=_NEURIPS,
        arxiv="1705.07874",
    ),
    Paper(
        "mackinnon1985",
        "MacKinnon, James G. and White, Halbert",
        "Some heteroskedasticity-consistent covariance matrix estimators with improved finite sample properties",
        1985,
        journal="Journal of Econometrics",
        doi="10.1016/0304-4076(85)90158-7",
    ),
    Paper(
        "mairal2010",
        "Mairal, Julien and Bach, Francis and Ponce, Jean and Sapiro, Guillermo",
        "Online Learning for Matrix Factorization and Sparse Coding",
        2010,
        journal="Journal of Machine Learning Research",
        arxiv="0908.0050",
    ),
    Paper(
        "nostalgebraist2020",
        "nostalgebraist",
        "interpreting GPT: the logit lens",
        2020,
    ),
    Paper(
        "owen1977",
        "Owen, Guillermo",
        "Values of Games with a Priori Unions",
        1977,
        booktitle="Mathematical Economics and Game Theory",
        doi="10.1007/978-3-642-45494-3_7",
    ),
    Paper(
        "park2023",
        "Park, Sung Min and Georgiev, Kristian and Ilyas, Andrew and Leclerc, Guillaume and Madry, Aleksander",
        "TRAK: Attributing Model Behavior at Scale",
        2023,
        booktitle=_ICML,
        arxiv="2303.14186",
    ),
    Paper(
        "paulo2024",
        "Paulo, Gonçalo and Mallen, Alex and Juang, Caden and Belrose, Nora",
        "Automatically Interpreting Millions of Features in Large Language Models",
        2024,
        arxiv="2410.13928",
    ),
    Paper(
        "paulo2025",
        "Paulo, Gonçalo and Belrose, Nora",
        "Sparse Autoencoders Trained on the Same Data Learn Different Features",
        2025,
        arxiv="2501.16615",
    ),
    Paper(
        "pearson1901",
        "Pearson, Karl",
        "On lines and planes of closest fit to systems of points in space",
        1901,
        journal="Philosophical Magazine",
    ),
    Paper(
        "petsiuk2018",
        "Petsiuk, Vitali and Das, Abir and Saenko, Kate",
        "RISE: Randomized Input Sampling for Explanation of Black-box Models",
        2018,
        booktitle="British Machine Vision Conference",
        arxiv="1806.07421",
    ),
    Paper(
        "poche2025",
        "Poché, Antonin and Jacovi, Alon and Picard, Agustin Martin and Boutin, Victor and Jourdan, Fanny",
        "ConSim: Measuring Concept-Based Explanations' Effectiveness with Automated Simulatability",
        2025,
        arxiv="2501.05855",
    ),
    Paper(
        "puri2025",
        "Puri, Bruno and others",
        "FADE: Why Bad Descriptions Happen to Good Features",
        2025,
        arxiv="2502.16994",
    ),
    Paper(
        "rajamanoharan2024gated",
        "Rajamanoharan, Senthooran and others",
        "Improving Dictionary Learning with Gated Sparse Autoencoders",
        2024,
        arxiv="2404.16014",
    ),
    Paper(
        "rajamanoharan2024jumping",
        "Rajamanoharan, Senthooran and others",
        "Jumping Ahead: Improving Reconstruction Fidelity with JumpReLU Sparse Autoencoders",
        2024,
        arxiv="2407.14435",
    ),
    Paper(
        "rao1947",
        "Rao, C. Radhakrishna",
        "Factorial experiments derivable from combinatorial arrangements of arrays",
        1947,
        journal="Supplement to the Journal of the Royal Statistical Society",
        doi="10.2307/2983576",
    ),
    Paper(
        "ribeiro2016",
        "Ribeiro, Marco Tulio and Singh, Sameer and Guestrin, Carlos",
        '"Why Should I Trust You?": Explaining the Predictions of Any Classifier',
        2016,
        booktitle="ACM SIGKDD International Conference on Knowledge Discovery and Data Mining",
        arxiv="1602.04938",
    ),
    Paper(
        "shrikumar2017",
        "Shrikumar, Avanti and Greenside, Peyton and Kundaje, Anshul",
        "Learning Important Features Through Propagating Activation Differences",
        2017,
        booktitle=_ICML,
        arxiv="1704.02685",
    ),
    Paper(
        "simonyan2014",
        "Simonyan, Karen and Vedaldi, Andrea and Zisserman, Andrew",
        "Deep Inside Convolutional Networks: Visualising Image Classification Models and Saliency Maps",
        2014,
        arxiv="1312.6034",
    ),
    Paper(
        "smilkov2017",
        "Smilkov, Daniel and Thorat, Nikhil and Kim, Been and Viégas, Fernanda and Wattenberg, Martin",
        "SmoothGrad: removing noise by adding noise",
        2017,
        arxiv="1706.03825",
    ),
    Paper(
        "sundararajan2017",
        "Sundararajan, Mukund and Taly, Ankur and Yan, Qiqi",
        "Axiomatic Attribution for Deep Networks",
        2017,
        booktitle=_ICML,
        arxiv="1703.01365",
    ),
    Paper(
        "turner2023",
        "Turner, Alexander Matt and others",
        "Steering Language Models With Activation Engineering",
        2023,
        arxiv="2308.10248",
    ),
    Paper(
        "winter1989",
        "Winter, Eyal",
        "A value for cooperative games with levels structure of cooperation",
        1989,
        journal="International Journal of Game Theory",
        doi="10.1007/BF01268161",
    ),
    Paper(
        "yamagiwa2023",
        "Yamagiwa, Hiroaki and Oyama, Momose and Shimodaira, Hidetoshi",
        "Discovering Universal Geometry in Embeddings with ICA",
        2023,
        booktitle=_EMNLP,
        arxiv="2305.13175",
    ),
    Paper(
        "yeh2019",
        "Yeh, Chih-Kuan and Hsieh, Cheng-Yu and Suggala, Arun Sai and Inouye, David I. and Ravikumar, Pradeep",
        "On the (In)fidelity and Sensitivity of Explanations",
        2019,
        booktitle=_NEURIPS,
        arxiv="1901.09392",
    ),
    Paper(
        "yeh2020",
        "Yeh, Chih-Kuan and Kim, Been and Arik, Sercan O. and Li, Chun-Liang and Pfister, Tomas and Ravikumar, Pradeep",
        "On Completeness-aware Concept-Based Explanations in Deep Neural Networks",
        2020,
        booktitle=_NEURIPS,
        arxiv="1910.07969",
    ),
    Paper(
        "zeiler2014",
        "Zeiler, Matthew D. and Fergus, Rob",
        "Visualizing and Understanding Convolutional Networks",
        2014,
        booktitle="European Conference on Computer Vision",
        arxiv="1311.2901",
    ),
    Paper(
        "zou2006",
        "Zou, Hui and Hastie, Trevor and Tibshirani, Robert",
        "Sparse Principal Component Analysis",
        2006,
        journal="Journal of Computational and Graphical Statistics",
    ),
)

# The public classes, and the papers that their docstrings name, the one that defines them first.
CITED: dict[str, tuple[str, ...]] = {
    # attributions
    "AttentionRollout": ("abnar2020",),
    "AttnLRP": ("achtibat2024", "ali2022"),
    "ContextCite": ("cohenwang2024", "park2023"),
    "DeepLift": ("shrikumar2017",),
    "GradientShap": ("lundberg2017", "erion2021"),
    "InputxGradient": ("shrikumar2017",),
    "IntegratedGradients": ("sundararajan2017",),
    "KernelShap": ("lundberg2017", "covert2021", "cochran1977"),
    "Lime": ("ribeiro2016", "mackinnon1985"),
    "Occlusion": ("zeiler2014",),
    "Owen": ("owen1977", "winter1989", "castro2009"),
    "Rise": ("petsiuk2018", "cochran1977", "rao1947"),
    "Saliency": ("simonyan2014",),
    "SmoothGrad": ("smilkov2017",),
    "Sobol": ("fel2021", "jansen1999"),
    "SquareGrad": ("hooker2019",),
    "VarGrad": ("adebayo2018", "hooker2019"),
    # their metrics
    "Comprehensiveness": ("deyoung2020",),
    "Deletion": ("petsiuk2018",),
    "Infidelity": ("yeh2019",),
    "Insertion": ("petsiuk2018",),
    "SensitivityMax": ("yeh2019",),
    "Sufficiency": ("deyoung2020",),
    # concepts
    "ArchetypalSAEConcepts": ("fel2025",),
    "BatchTopKSAEConcepts": ("bussmann2024",),
    "CAVConcepts": ("kim2018",),
    "ConceptsToOutput": ("fel2023", "fel2023craft", "jourdan2023"),
    "ConvexNMFConcepts": ("ding2010",),
    "DictionaryLearningConcepts": ("mairal2010",),
    "GatedSAEConcepts": ("rajamanoharan2024gated",),
    "ICAConcepts": ("hyvarinen2000", "yamagiwa2023"),
    "InputToConcepts": ("jourdan2023",),
    "JumpReLUSAEConcepts": ("rajamanoharan2024jumping",),
    "KMeansConcepts": ("lloyd1982", "ghorbani2019"),
    "LeaceEraser": ("belrose2023leace",),
    "MatryoshkaSAEConcepts": ("bussmann2025",),
    "MpSAEConcepts": ("costa2025",),
    "NMFConcepts": ("lee1999", "jourdan2023"),
    "NeuronsAsConcepts": ("dalvi2019",),
    "PCAConcepts": ("pearson1901", "jolliffe2002"),
    "Probe": ("alain2016", "hewitt2019"),
    "SVDConcepts": ("eckart1936",),
    "SemiNMFConcepts": ("ding2010",),
    "SparsePCAConcepts": ("zou2006", "mairal2010"),
    "TCAV": ("kim2018",),
    "TopKSAEConcepts": ("gao2025",),
    "VanillaSAEConcepts": ("bricken2023", "huben2024"),
    # what they mean and do
    "LLMLabels": ("bills2023", "paulo2024"),
    "LogitLens": ("nostalgebraist2020",),
    "OutputLabels": ("gurarieh2025",),
    "Steering": ("gurarieh2025", "arditi2024", "turner2023"),
    "TokenChange": ("gurarieh2025",),
    "TopKInputs": ("bills2023", "gurarieh2025"),
    "TunedLens": ("belrose2023lens",),
    "VocabProj": ("gurarieh2025", "nostalgebraist2020"),
    # their metrics
    "Clarity": ("puri2025",),
    "Completeness": ("yeh2020",),
    "ConSim": ("poche2025",),
    "Detection": ("paulo2024",),
    "FID": ("heusel2017", "fel2023"),
    "Faithfulness": ("puri2025",),
    "Fuzzing": ("paulo2024",),
    "LossRecovered": ("karvonen2025", "gao2025"),
    "MSE": ("bricken2023",),
    "Purity": ("puri2025",),
    "Responsiveness": ("puri2025",),
    "Sparsity": ("bricken2023",),
    "Stability": ("fel2023", "paulo2025"),
    "Wasserstein": ("fel2023",),
    "calibration": ("guo2017",),
    "control_labels": ("hewitt2019",),
}

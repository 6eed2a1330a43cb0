"""The paragraph on a comparison for the methods of a paper."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from fastcka.core.comparison import Comparison
    from fastcka.core.inference.options import Inference

_ESTIMATORS = {
    "biased": "the biased estimator of HSIC (Gretton et al. 2005)",
    "unbiased": "the unbiased estimator of HSIC (Song et al. 2012; Nguyen et al. 2021)",
    "feature_corrected": "the unbiased estimator of HSIC (Song et al. 2012), corrected for a "
    "sample of features (Chun et al. 2025)",
}
_REFERENCES = {
    "Kornblith": "Kornblith, Norouzi, Lee, Hinton: Similarity of neural network representations "
    "revisited. ICML 2019.",
    "Gretton": "Gretton, Bousquet, Smola, Schoelkopf: Measuring statistical dependence with "
    "Hilbert-Schmidt norms. ALT 2005.",
    "Song": "Song, Smola, Gretton, Bedo, Borgwardt: Feature selection via dependence maximization. "
    "JMLR 13, 2012.",
    "Nguyen": "Nguyen, Raghu, Kornblith: Do wide and deep networks learn the same things? ICLR "
    "2021.",
    "Chun": "Chun, Canatar, Chung, Lee: Estimating neural representation alignment from sparsely "
    "sampled inputs and features. arXiv 2502.15104, 2025.",
    "Szekely": "Szekely, Rizzo: Partial distance correlation with methods for dissimilarities. "
    "Annals of Statistics 42, 2014.",
    "Kazi-Aoual": "Kazi-Aoual, Hitier, Sabatier, Lebreton: Refined approximations to permutation "
    "tests for multivariate inference. CSDA 20, 1995.",
    "Benjamini": "Benjamini, Hochberg: Controlling the false discovery rate. JRSS B 57, 1995.",
    "Groeger": "Groeger et al.: null-calibrated similarity of representations, 2026.",
    "Busing": "Busing, Meijer, van der Leeden: Delete-m jackknife for unequal m. Statistics and "
    "Computing 9, 1999.",
}


def methods_text(comparison: Comparison) -> str:
    """Return the paragraph, and the references that it cites."""
    made = comparison.provenance
    kernel = made.get("kernel_function", "linear")
    count, n = len(comparison.labels), comparison.n_examples
    sentences = [
        f"We compared {count} representations of {n:,} examples{_widths(made.get('n_features'))} "
        f"by {kernel} centered kernel alignment (Kornblith et al. 2019) with "
        f"{_ESTIMATORS[comparison.estimator]}.",
        *_pooling(comparison),
    ]
    if made.get("measures"):
        from fastcka.core.measures.measure import measures_sentence

        sentences.append(measures_sentence(made["measures"]))
    if "partial" in made:
        sentences.append(f"Partialled out of each Gram matrix: {', '.join(made['partial'])}.")
    if comparison.moments is not None:
        theory = (
            "Kazi-Aoual et al. 1995"
            if comparison.estimator == "biased"
            else "from U-centred Gram matrices, Szekely and Rizzo 2014"
        )
        sentences.append(
            "Chance level is the mean under permutation of the examples of one representation, in "
            f"closed form ({theory}; no random permutations were drawn)."
        )
    inference = comparison.inference
    if inference is not None:
        side = "two-sided" if inference.alternative == "two-sided" else "one-sided (greater)"
        sentences.append(
            f"P-values are {side}, from a Pearson type III distribution with the exact mean, "
            "variance and skewness under permutation; q-values control the false discovery rate "
            f"(Benjamini and Hochberg 1995) over {_pairs(len(comparison.pairs))}. Calibrated "
            f"values are 0 up to the {inference.level:.0%} quantile of the null distribution and 1 "
            "for identical representations (Groeger et al. 2026)."
        )
        if comparison.stderr is not None and made.get("folds"):
            sentences.append(
                f"Intervals ({inference.level:.0%}) over examples are those of a jackknife with "
                f"{made['folds']} folds{_of_blocks(inference)} on Fisher's scale (Busing et al. "
                "1999); they do not cover other seeds or models."
            )
        if inference.blocks is not None:
            sentences.append(
                "P-values and calibrated values assume that all examples can be exchanged, and "
                "ignore these blocks."
            )
    version = made.get("fastcka", "unknown")
    sentences.append(
        f"Computed with fastcka {version} on {made.get('device', 'an unknown device')} "
        f"({made.get('products', 'unknown')} products, sums in float64)."
    )
    paragraph = " ".join(sentences)
    cited = [reference for name, reference in _REFERENCES.items() if f"{name} " in paragraph]
    return "\n".join([paragraph, "", *cited])


def _widths(n_features: object) -> str:
    if not isinstance(n_features, list | tuple) or not n_features:
        return ""
    least, most = min(n_features), max(n_features)
    return f" with {least:,} features" if least == most else f" with {least:,} to {most:,} features"


def _of_blocks(inference: Inference) -> str:
    return "" if inference.blocks is None else " of whole blocks of examples"


def _pairs(count: int) -> str:
    return f"{count:,} pair{'s' * (count != 1)}"


def _pooling(comparison: Comparison) -> list[str]:
    pooled = {label["pooling"] for label in comparison.labels if "pooling" in label}
    return [f"Pooling: {', '.join(sorted(map(str, pooled)))}."] if pooled else []

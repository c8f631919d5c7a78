"""Registry of the built-in networks, and lookup of networks in installed packages."""

from collections.abc import Mapping
from typing import Any

from pydantic import ValidationError
from torch import nn

from stillhouse.models import providers
from stillhouse.models.errors import ModelError
from stillhouse.models.networks.attention import AttentionNetwork
from stillhouse.models.networks.encoders import RGB, PlainEncoder, ResidualEncoder
from stillhouse.models.networks.generation.denoiser import Denoiser
from stillhouse.models.networks.generation.picture_judge import PictureJudge
from stillhouse.models.networks.known import Known
from stillhouse.models.networks.library.transformers_audio import TransformersAudioClassifier
from stillhouse.models.networks.library.transformers_classifier import TransformersClassifier
from stillhouse.models.networks.pixels import Pixels
from stillhouse.models.networks.plain import PlainNetwork
from stillhouse.models.networks.recognition.bank import SHORTEST
from stillhouse.models.networks.recognition.conformer import Conformer
from stillhouse.models.networks.recognition.line_reader import LineReader
from stillhouse.models.networks.recognition.listener import Listener
from stillhouse.models.networks.residual import ResidualNetwork
from stillhouse.models.networks.seed import MultimodalBigModel, MultimodalSmallModel
from stillhouse.models.networks.sounds import PlainSoundNetwork
from stillhouse.models.networks.speech import PlainSpeechEncoder, ResidualSpeechEncoder
from stillhouse.models.networks.texts.bert import BertEncoder
from stillhouse.models.networks.texts.bert_classifier import BertClassifier
from stillhouse.models.networks.texts.ngrams import NgramEncoder

NETWORKS = {
    "attention": Known(AttentionNetwork),
    "bert": Known(BertEncoder, "tokens", "vectors"),
    "bert_classifier": Known(BertClassifier, "tokens"),
    "conformer": Known(Conformer, "speech", "letters", shortest=SHORTEST),
    "denoiser": Known(Denoiser, "state", "velocities"),
    "line_reader": Known(LineReader, gives="letters"),
    "listener": Known(Listener, "speech", "letters", shortest=SHORTEST),
    "multimodal_big_model": Known(MultimodalBigModel, channels=RGB),
    "multimodal_small_model": Known(MultimodalSmallModel, channels=RGB),
    "ngram_encoder": Known(NgramEncoder, "text", "vectors"),
    "picture_judge": Known(PictureJudge, gives="judgements"),
    "plain": Known(PlainNetwork),
    "plain_encoder": Known(PlainEncoder, gives="vectors"),
    "plain_sound": Known(PlainSoundNetwork, "speech"),
    "residual": Known(ResidualNetwork),
    "residual_encoder": Known(ResidualEncoder, gives="vectors"),
    "speech_plain_encoder": Known(PlainSpeechEncoder, "speech", "vectors", spells=True),
    "speech_residual_encoder": Known(ResidualSpeechEncoder, "speech", "vectors", spells=True),
    "transformers_audio": Known(TransformersAudioClassifier, "speech"),
    "transformers_classifier": Known(TransformersClassifier),
}
SPELLERS = [name for name, known in NETWORKS.items() if known.spells]


def find_network(name: str) -> Known:
    """Find a network by its name.

    Raises:
        ModelError: there is no such network (the message suggests the nearest name), several packages offer it, or its
            package cannot be imported.
    """
    provider = providers.find(providers.NETWORKS, name, NETWORKS)
    known = provider.load() if provider else NETWORKS[name]
    if not isinstance(known, Known):
        msg = f"{provider and provider.what} is no Known of stillhouse.models.networks.known; mend its entry point"
        raise ModelError(msg)
    return known


def check_arguments(name: str, arguments: Mapping[str, Any]) -> None:
    """Check the recipe's arguments for a network of an installed package.

    The recipe's own validation has already checked the arguments of built-in networks.

    Raises:
        ModelError: the network does not accept an argument. The message names the first wrong one.
    """
    known = find_network(name)
    try:
        if known.arguments is not None:
            known.arguments.model_validate(dict(arguments))
    except ValidationError as error:
        fault = error.errors()[0]
        msg = f"network {name}: {'.'.join(map(str, fault['loc']))}: {fault['msg']}; mend its arguments in the recipe"
        raise ModelError(msg) from error


def build_network(name: str, arguments: Mapping[str, Any], scale: float, background: int = 0) -> nn.Module:
    """Build a network. Its `Known` describes its input and its output.

    Args:
        name: a key of NETWORKS, or a network of an installed package.
        arguments: arguments of the network.
        scale: divisor of the pixels.
        background: value of an empty pixel.

    Raises:
        ModelError: there is no such network, or it does not accept the arguments.
    """
    known = find_network(name)
    try:
        network = known.module(**arguments)
    except TypeError as error:
        msg = f"network {name!r} cannot be built from {dict(arguments)} ({error}); mend its arguments"
        raise ModelError(msg) from error
    if known.takes != "image":
        return network
    return nn.Sequential(Pixels(scale, known.channels, background), network)

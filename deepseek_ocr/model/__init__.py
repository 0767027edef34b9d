"""What the network is: DeepSeek-OCR as `transformers` classes, registered with its Auto classes."""

from transformers import (
    AutoConfig,
    AutoModel,
    AutoModelForImageTextToText,
    AutoProcessor,
)
from transformers.models.auto.configuration_auto import CONFIG_MAPPING

from .configuration import (
    ClipConfig,
    DeepseekOcrConfig,
    SamConfig,
    TextConfig,
)
from .image_processing import DeepseekOcrImageProcessor
from .modeling import DeepseekOcrForConditionalGeneration, DeepseekOcrModel, DeepseekOcrOutput
from .processing import PROMPTS, DeepseekOcrProcessor
from .resolution import MODES, ViewSettings, num_image_tokens, tile_grid, view_settings

__all__ = [
    "MODES",
    "PROMPTS",
    "ClipConfig",
    "DeepseekOcrConfig",
    "DeepseekOcrForConditionalGeneration",
    "DeepseekOcrImageProcessor",
    "DeepseekOcrModel",
    "DeepseekOcrOutput",
    "DeepseekOcrProcessor",
    "SamConfig",
    "TextConfig",
    "ViewSettings",
    "num_image_tokens",
    "tile_grid",
    "view_settings",
]

AutoConfig.register(DeepseekOcrConfig.model_type, DeepseekOcrConfig, exist_ok=True)
# the same under its other name; AutoConfig.register accepts one name a class
CONFIG_MAPPING.register("deepseek_ocr", DeepseekOcrConfig, exist_ok=True)
AutoModel.register(DeepseekOcrConfig, DeepseekOcrModel, exist_ok=True)
AutoModelForImageTextToText.register(
    DeepseekOcrConfig, DeepseekOcrForConditionalGeneration, exist_ok=True
)
AutoProcessor.register(DeepseekOcrConfig, DeepseekOcrProcessor, exist_ok=True)


class DeepseekVLV2Processor(DeepseekOcrProcessor):
    """Our processor under the name that the published `processor_config.json` asks for."""


# found by its name; the key only has to be a config class that is nobody's whole config
AutoProcessor.register(TextConfig, DeepseekVLV2Processor, exist_ok=True)

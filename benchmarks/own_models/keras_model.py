"""Train a small Keras classifier as people do, save it, and convert it with LiteRT's own int8 converter.

It runs in TensorFlow's environment and uses nothing of ours: `python keras_model.py DATA.npz FOLDER [EPOCHS]`. The data
has `train` (N, H, W, 1), `labels` and `calibration`, raw pixels.
"""

import sys
from pathlib import Path

import keras  # type: ignore[import-not-found] # TensorFlow's environment has it
import numpy as np
import tensorflow as tf  # type: ignore[import-untyped] # likewise
from keras import layers

EPOCHS = 6


def build(classes: int) -> keras.Model:
    """Build the usual small network: two stages of two convolutions, and a hidden layer.

    The batch norm stands before the ReLU, so that LiteRT folds it. With the batch norm after the ReLU, LiteRT's int8 of
    such a model lost 8 points, because units that almost never fire get a huge scale. That is no fair baseline.
    """
    model = keras.Sequential([keras.Input((28, 28, 1)), layers.Rescaling(1 / 255)])
    for width in (32, 64):
        for _ in range(2):
            _add_normed(model, layers.Conv2D(width, 3, padding="same", use_bias=False))
        model.add(layers.MaxPooling2D())
        model.add(layers.Dropout(0.25))
    model.add(layers.Flatten())
    _add_normed(model, layers.Dense(128, use_bias=False))
    model.add(layers.Dropout(0.4))
    model.add(layers.Dense(classes, activation="softmax"))
    return model


def _add_normed(model: keras.Model, layer: keras.Layer) -> None:
    for each in (layer, layers.BatchNormalization(), layers.ReLU()):
        model.add(each)


def train(model: keras.Model, images: np.ndarray, labels: np.ndarray, epochs: int) -> None:
    """Train with Adam and a falling learning rate."""
    steps = epochs * -(-len(images) // 128)
    rate = keras.optimizers.schedules.CosineDecay(2e-3, steps)
    model.compile(keras.optimizers.Adam(rate), "sparse_categorical_crossentropy", metrics=["accuracy"])
    model.fit(images, labels, batch_size=128, epochs=epochs, verbose=2)


def convert(model: keras.Model, calibration: np.ndarray) -> bytes:
    """Quantize all of it, weights and activations, with LiteRT's converter and representative images."""
    converter = tf.lite.TFLiteConverter.from_keras_model(model)
    converter.optimizations = [tf.lite.Optimize.DEFAULT]
    converter.representative_dataset = lambda: ([image[None].astype(np.float32)] for image in calibration)
    converter.target_spec.supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS_INT8]
    converter.inference_input_type = converter.inference_output_type = tf.uint8
    return bytes(converter.convert())


def main() -> None:
    """Train, save `model.keras`, and write `litert_int8.tflite` and `litert_fp32.tflite`."""
    data, folder = np.load(sys.argv[1]), Path(sys.argv[2])
    keras.utils.set_random_seed(17)
    model = build(int(data["labels"].max()) + 1)
    train(model, data["train"].astype(np.float32), data["labels"], int(sys.argv[3]) if sys.argv[3:] else EPOCHS)
    model.save(folder / "model.keras")
    (folder / "litert_int8.tflite").write_bytes(convert(model, data["calibration"]))
    (folder / "litert_fp32.tflite").write_bytes(tf.lite.TFLiteConverter.from_keras_model(model).convert())


if __name__ == "__main__":
    main()

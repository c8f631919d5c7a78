"""Write Keras models, good and bad, into a folder: `python keras_models.py FOLDER` in TensorFlow's environment."""

import sys
from pathlib import Path

import h5py
import keras
import numpy as np
import tensorflow as tf
from keras import layers


def small(activation="softmax", *extra, **ends):
    """Build a classifier of 8 x 8 images that divides raw pixels itself."""
    keras.utils.set_random_seed(3)
    images = keras.Input(**({"shape": (8, 8, 1)} | ends))
    hidden = layers.Rescaling(1 / 16)(images)
    for layer in (layers.Conv2D(8, 3, activation="relu"), layers.BatchNormalization(), *extra):
        hidden = layer(hidden)
    hidden = layers.SeparableConv2D(16, 3, padding="same")(layers.MaxPooling2D()(hidden))
    return keras.Model(images, layers.Dense(10, activation=activation)(layers.GlobalAveragePooling2D()(hidden)))


def sides():
    """Train a classifier that tells whether the left or the right half of an image is brighter."""
    keras.utils.set_random_seed(5)
    images = np.random.default_rng(5).integers(0, 128, (800, 8, 8, 1)).astype("float32")
    right = np.arange(800) % 2
    images[right == 0, :, :4] += 127
    images[right == 1, :, 4:] += 127
    end = keras.Input((8, 8, 1))
    hidden = layers.Conv2D(32, 3, padding="same", activation="relu")(layers.Rescaling(1 / 255)(end))
    hidden = layers.Dense(64, activation="relu")(layers.Flatten()(hidden))
    model = keras.Model(end, layers.Dense(2, activation="softmax")(hidden))
    model.compile("adam", "sparse_categorical_crossentropy")
    model.fit(images, right, epochs=3, verbose=0)
    return model


class Writing(tf.Module):
    """A program that writes a file when it is called."""

    @tf.function(input_signature=[tf.TensorSpec((None, 8, 8, 1), tf.float32)])
    def __call__(self, images):
        """Write, then answer."""
        tf.io.write_file("written", "x")
        return tf.reduce_mean(images, (1, 2))


def main(folder):
    """Write all of them."""
    good = small()
    good.compile("adam", "sparse_categorical_crossentropy")
    good.fit(np.zeros((8, 8, 8, 1)), np.zeros(8), verbose=0)
    good.save(folder / "good.keras")
    good.save(folder / "good.h5")
    good.export(folder / "good_saved", verbose=False)
    tf.saved_model.save(good, str(folder / "good_plain_saved"))
    small("linear").save(folder / "logits.keras")
    small("softmax", layers.Lambda(lambda value: value * 2)).save(folder / "lambda.h5")
    small(batch_shape=(4, 8, 8, 1), shape=None).save(folder / "fixed.keras")
    small(shape=(None, None, 1)).save(folder / "any_side.keras")
    two = small()
    keras.Model(two.inputs, [two.outputs[0], two.layers[1].output]).save(folder / "two.keras")
    good.save_weights(folder / "only.weights.h5")
    endless = small("linear")
    endless.set_weights([np.full_like(weight, np.nan) for weight in endless.get_weights()])
    endless.save(folder / "nan.keras")
    good.save(folder / "linked.h5")
    with h5py.File(folder / "linked.h5", "r+") as file:
        file["model_weights/other"] = h5py.ExternalLink("/etc/hostname", "/")
    good.save(folder / "cycle.h5")
    with h5py.File(folder / "cycle.h5", "r+") as file:
        file["model_weights/again"] = file["model_weights"]
    sides().save(folder / "sides.keras")
    tf.saved_model.save(Writing(), str(folder / "writing_saved"))


if __name__ == "__main__":
    main(Path(sys.argv[1]))

import keras

from keras_kd.export.conversion.task import Task
from keras_kd.export.student.signature import Signature


class Doubled(keras.layers.Layer):
    def call(self, inputs):
        return 2 * inputs


def test_a_task_survives_its_folder(cnn, tmp_path):
    task = Task.of(Signature.of(cnn, 4), "int8", "uint8", calibrated=True)
    assert task == Task("int8", "uint8", 4, ["image"], True, [])
    task.write(tmp_path)
    assert Task.read(tmp_path) == task


def test_it_names_the_modules_of_the_students_own_layers():
    student = keras.Sequential([keras.Input((3,), name="x"), Doubled()])
    assert Task.of(Signature.of(student, None)).modules == [Doubled.__module__]

"""Run by test_mediapipe.py in an environment of MediaPipe's: `FILE IMAGES...`, prints JSON."""

import importlib.util
import json
import sys
from pathlib import Path

import mediapipe
import numpy as np
from mediapipe.tasks.python import BaseOptions, vision
from PIL import Image


def metadata(path):
    """Reads the metadata with MediaPipe's own schema."""
    tasks = Path(importlib.util.find_spec("mediapipe").origin).parent / "tasks" / "metadata"
    sys.path.insert(0, str(tasks))
    import metadata_schema_py_generated as schema
    import schema_py_generated as tflite

    content = Path(path).read_bytes()
    model = tflite.Model.GetRootAs(content, 0)
    (entry,) = (
        entry
        for entry in map(model.Metadata, range(model.MetadataLength()))
        if entry.Name() == b"TFLITE_METADATA"
    )
    buffer = model.Buffers(entry.Buffer()).DataAsNumpy().tobytes()
    assert schema.ModelMetadata.ModelMetadataBufferHasIdentifier(buffer, 0)
    graph = schema.ModelMetadataT.InitFromPackedBuf(buffer).subgraphMetadata[0]
    (image,), (scores,) = graph.inputTensorMetadata, graph.outputTensorMetadata
    size = image.content.contentProperties.defaultSize
    return {
        "names": [image.name.decode(), scores.name.decode()],
        "size": [size.height, size.width],
        "normalization": [unit.options.mean.tolist() for unit in image.processUnits or []],
        "range": [scores.stats.min.tolist(), scores.stats.max.tolist()],
    }


def categories(classifier, image):
    result = classifier.classify(image).classifications[0].categories
    return {category.category_name: category.score for category in result}


if __name__ == "__main__":
    file, *photos = sys.argv[1:]
    options = vision.ImageClassifierOptions(base_options=BaseOptions(model_asset_path=file))
    answers = {"metadata": metadata(file), "photos": {}}
    with vision.ImageClassifier.create_from_options(options) as classifier:
        for photo in photos:
            pixels = np.asarray(Image.open(photo).convert("RGB"))
            image = mediapipe.Image(image_format=mediapipe.ImageFormat.SRGB, data=pixels)
            answers["photos"][photo] = categories(classifier, image)
    print(json.dumps(answers))

"""Says what the images of a camera show as a whole: their class, or what they look like."""

from __future__ import annotations

from typing import Any

from std_msgs.msg import Header
from vision_msgs.msg import Classification as ClassificationMessage

from trt_perception.families import Task
from trt_perception.msg import Embeddings
from trt_perception.nodes.camera_input import Outputs, Publishing
from trt_perception.nodes.inference_node import InferenceNode
from trt_perception.nodes.inference_parameters import ClassifyParameters
from trt_perception.nodes.messages import classification_message, embeddings_message
from trt_perception.nodes.tasks import tasks_of
from trt_perception.pipeline.perception import Perceived
from trt_perception.pipeline.stopwatch import Stopwatch
from trt_perception.results import Classification, Embedding


class ClassifyNode(InferenceNode[ClassifyParameters]):
    """`image` in; `~/classification` or `~/embeddings`, latched infos out."""

    TASKS = tasks_of('classify_node')

    def __init__(self, **arguments: Any) -> None:
        """See `PerceptionNode`."""
        super().__init__('classify_node', ClassifyParameters, **arguments)

    def outputs_for(self, task: Task, prefix: str) -> Outputs:
        """See `InferenceNode`."""
        return ClassifyOutputs(self, task, prefix)

    def announce(self, task: Task) -> None:
        """See `InferenceNode`."""
        self.publish_vision_info()


class ClassifyOutputs(Outputs):
    """What the images of one camera show as a whole."""

    def __init__(self, node: Publishing, task: Task, prefix: str) -> None:
        """Create the publisher."""
        self._node = node
        if task == 'embed':
            self._results = node.output(Embeddings, f'{prefix}embeddings')
        else:
            self._results = node.output(ClassificationMessage, f'{prefix}classification')

    def publish(self, perceived: Perceived, header: Header) -> dict[str, float]:
        """Publish the classes, the most likely first, or the embedding."""
        result = perceived.result
        assert isinstance(result, (Classification, Embedding))
        watch = Stopwatch()
        message = (
            embeddings_message(result.vector[None], header)
            if isinstance(result, Embedding)
            else classification_message(result, self._node.class_ids, header)
        )
        watch.lap('message')
        self._results.publish(message)
        watch.lap('publish')
        return watch.laps_ms

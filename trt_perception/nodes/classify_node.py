"""Says what the images of a camera show as a whole: their class, or what they look like."""

from __future__ import annotations

from typing import Any

from rclpy.publisher import Publisher
from std_msgs.msg import Header
from vision_msgs.msg import Classification as ClassificationMessage

from trt_perception.model_spec import Task
from trt_perception.msg import Embeddings
from trt_perception.nodes.inference_node import InferenceNode
from trt_perception.nodes.messages import classification_message, embeddings_message
from trt_perception.nodes.parameter_table import ClassifyParameters
from trt_perception.nodes.running import run
from trt_perception.nodes.tasks import tasks_of
from trt_perception.pipeline.perception import Perceived
from trt_perception.pipeline.stopwatch import Stopwatch
from trt_perception.results import Classification, Embedding


class ClassifyNode(InferenceNode[ClassifyParameters]):
    """`image` in; `~/classification` or `~/embeddings`, latched infos out."""

    TASKS = tasks_of('classify_node')

    def __init__(self, **arguments: Any) -> None:
        """See `PerceptionNode`."""
        self._results: Publisher | None = None
        super().__init__('classify_node', ClassifyParameters, **arguments)

    def create_outputs(self, task: Task) -> None:
        """See `InferenceNode`."""
        if task == 'embed':
            self._results = self.output(Embeddings, '~/embeddings')
        else:
            self._results = self.output(ClassificationMessage, '~/classification')
        self.publish_vision_info()

    def publish(self, perceived: Perceived, header: Header) -> dict[str, float]:
        """Publish the classes, the most likely first, or the embedding."""
        assert self._results is not None
        result = perceived.result
        assert isinstance(result, (Classification, Embedding))
        watch = Stopwatch()
        message = (
            embeddings_message(result.vector[None], header)
            if isinstance(result, Embedding)
            else classification_message(result, self.class_ids, header)
        )
        watch.lap('message')
        self._results.publish(message)
        watch.lap('publish')
        return watch.laps_ms


def main() -> int:
    """Run the node until it is told to end."""
    return run(ClassifyNode)

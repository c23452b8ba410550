"""What a lifecycle node answers to a transition that its state does not have."""

from __future__ import annotations

from collections.abc import Callable

from lifecycle_msgs.srv import ChangeState
from rclpy.lifecycle import LifecycleNode


def refuse_impossible_transitions(node: LifecycleNode, answered: Callable[[], None]) -> None:
    """Answer no to them, with a word in the log; rclpy raises in its callback.

    Args:
        node: just made.
        answered: called after a transition that was tried.
    """
    [service] = [s for s in node.services if s.srv_type is ChangeState]
    change = service.callback

    def answer(
        request: ChangeState.Request, response: ChangeState.Response
    ) -> ChangeState.Response:
        machine = node._state_machine
        possible = machine.available_transitions
        wanted = request.transition
        fits = [t for t in possible if wanted.label in ('', t[1])]
        if wanted.label == '':
            fits = [t for t in fits if t[0] == wanted.id]
        if not fits:
            names = sorted({t[1] for t in possible})
            node.get_logger().warning(
                f'transition {wanted.label or wanted.id} refused: the node is '
                f'{machine.current_state[1]}; possible: {", ".join(names) or "none"}'
            )
            response.success = False
            return response
        tried: ChangeState.Response = change(request, response)
        answered()
        return tried

    service.callback = answer

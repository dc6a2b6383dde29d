"""Actions performed on the fakes of all ports."""

from noded.adapters.masking import masked
from noded.model.inputs import ActionFailed
from noded.model.state import HostState
from noded.runtime.alarms import Alarms
from noded.runtime.perform import Perform, World
from tests.fakes.answers import FakeAnswers
from tests.fakes.clock import FakeClock
from tests.fakes.inbox import FakeInbox
from tests.fakes.mesh import FakeMesh
from tests.fakes.nodes import FakeNodes
from tests.fakes.processes import FakeProcesses
from tests.fakes.proxy import FakeProxy
from tests.fakes.registry import FakeRegistry
from tests.fakes.releases import FakeReleases
from tests.fakes.workshop import FakeWorkshop
from tests.runtime.nouns import DIGEST, spec


class Bench:
    def __init__(self) -> None:
        self.clock, self.inbox, self.answers = FakeClock(), FakeInbox(), FakeAnswers()
        self.processes = FakeProcesses(self.inbox, self.clock)
        self.nodes = FakeNodes(self.inbox, self.clock)
        self.proxy, self.registry = FakeProxy((8100, 8163)), FakeRegistry()
        self.releases, self.workshop = FakeReleases({DIGEST: spec(run=("/bin/sleep", "300"))}), FakeWorkshop()
        self.mesh, self.state = FakeMesh(), HostState()
        self.perform = Perform(
            World(
                clock=self.clock,
                inbox=self.inbox,
                alarms=Alarms(self.clock, self.inbox),
                answers=self.answers,
                processes=self.processes,
                nodes=self.nodes,
                proxy=self.proxy,
                registry=self.registry,
                releases=self.releases,
                workshop=self.workshop,
                env=(("PATH", "/usr/bin"), ("LANG", "C.UTF-8")),
                mask=masked,
                mesh=self.mesh,
                view=lambda: self.state,
            )
        )

    def failure(self) -> ActionFailed:
        (failed,) = self.inbox.all(ActionFailed)
        return failed

# SPDX-License-Identifier: BSD-3-Clause
"""Started by real root for a namespace that belongs to the initial user namespace, as rootful podman does."""

import os
import sys

from tests.support.case import LabTestCase, main
from tests.support.guest import Guest
from tests.support.skip import EXIT_SKIPPED


class Rootful(LabTestCase):
    def test_namespace_of_our_own_user_namespace(self):
        guest = self._keep(Guest(command=["unshare", "-n", "sh", "-c", "echo; exec sleep infinity"], user=0))
        helper = self.helper(guest=guest, user=0, control=True)
        self.assertEqual(guest.addresses(), [("10.0.2.100", 24), ("fd00::100", 64)])
        self.assert_works(guest)
        self.assertEqual(helper.info()["pid"], helper.pid)
        helper.forward(80, 80)  # root may
        self.assertEqual(helper.stop(), 0)

    def test_namespace_of_an_ordinary_user(self):
        guest = self.guest()
        helper = self.helper(guest=guest, user=0)
        self.assert_works(guest)
        self.assertEqual(helper.stop(), 0)


if __name__ == "__main__":
    if os.geteuid() != 0:
        print("skipped: only root can try this", file=sys.stderr)
        sys.exit(EXIT_SKIPPED)
    main(user_namespace=False)

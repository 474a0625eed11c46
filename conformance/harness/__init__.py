"""What the conformance suites share: accounts, servers, results, installing."""

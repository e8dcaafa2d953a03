"""The jobs. An actor takes ids, calls the desk, returns; rules live in `desk`, delivery lives in `pgbroker`."""

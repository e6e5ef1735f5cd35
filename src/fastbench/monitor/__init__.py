"""What the run did to the machine: samples of the client, the server and the host."""

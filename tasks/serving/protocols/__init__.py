"""The protocols that the server speaks. Each turns a body into inputs, and answers into a body."""

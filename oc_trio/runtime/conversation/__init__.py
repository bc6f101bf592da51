"""One conversation's task, queue, context and transcript."""

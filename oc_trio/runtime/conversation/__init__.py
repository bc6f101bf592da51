"""What belongs to one conversation: its task, queue, context, attachments and transcript."""

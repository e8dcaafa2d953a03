"""What a ticket is about: category, priority, intent and tags, learnt from what people labelled, or nothing."""

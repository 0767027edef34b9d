"""From any document to text: inputs, pages, answers, and the job that loses nothing."""

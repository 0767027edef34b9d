"""From a reference in an annotation to the page that it names: pictures, PDF, embedded ones."""

"""The verdict about a student, and the measurements that the verdict is based on."""

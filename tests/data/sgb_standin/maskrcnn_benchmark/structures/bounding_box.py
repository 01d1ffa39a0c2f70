class BoxList:
    def __init__(self, bbox, image_size, mode="xyxy"):
        self.bbox = bbox
        self.size = image_size
        self.mode = mode
        self.extra_fields = {}
        self.triplet_extra_fields = []

    def add_field(self, field, field_data, is_triplet=False):
        self.extra_fields[field] = field_data

    def get_field(self, field):
        return self.extra_fields[field]

    def has_field(self, field):
        return field in self.extra_fields

    def fields(self):
        return list(self.extra_fields)

    def copy_with_fields(self, fields, skip_missing=False):
        copied = BoxList(self.bbox, self.size, self.mode)
        for field in fields:
            copied.add_field(field, self.get_field(field), field in self.triplet_extra_fields)
        return copied

    def __len__(self):
        return self.bbox.shape[0]

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

    def __len__(self):
        return self.bbox.shape[0]

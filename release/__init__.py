"""What a release is made of: wheel, source distribution, bill of materials, and the list of licences."""

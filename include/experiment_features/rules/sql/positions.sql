-- What a position (contract.position_of) says of a row.
create temporary macro file_number_of(position) as position // 1_000_000_000_000;
create temporary macro line_of(position) as position % 1_000_000_000_000;

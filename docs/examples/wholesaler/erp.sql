-- The tables of the sample ERP. SQLite keeps what it is given: a declared type is a wish, as in many
-- an old ERP.
CREATE TABLE customers (
    customer_no INTEGER PRIMARY KEY,
    company TEXT NOT NULL,
    street TEXT,
    postcode TEXT,
    city TEXT,
    country CHAR(2),
    email TEXT,
    phone TEXT,
    credit_limit DECIMAL(12,2),
    discount_percent DECIMAL(5,2),
    is_active BOOLEAN NOT NULL,
    latitude DOUBLE,
    longitude DOUBLE,
    customer_since DATE,
    note TEXT,
    updated_at TIMESTAMP NOT NULL
);
CREATE TABLE items (
    item_no TEXT PRIMARY KEY NOT NULL,
    description TEXT NOT NULL,
    unit TEXT,
    weight_kg DECIMAL(9,3),
    length_mm INTEGER,
    is_hazardous BOOLEAN,
    ean CHAR(13),
    thumbnail BLOB,
    launched_on DATE,
    discontinued_on DATE,
    updated_at TIMESTAMP NOT NULL
);
CREATE TABLE prices (
    item_no TEXT NOT NULL,
    price_list TEXT NOT NULL,
    price DECIMAL(12,4) NOT NULL,
    currency CHAR(3) NOT NULL,
    valid_from DATE NOT NULL,
    updated_at TIMESTAMP NOT NULL,
    PRIMARY KEY (item_no, price_list)
);
CREATE TABLE "Lagerbestand" (
    "Artikel Nr" TEXT NOT NULL,
    "Lagerort" TEXT NOT NULL,
    "Bestand (Stück)" DECIMAL(12,3),
    "Mindestbestand" INTEGER,
    "Regal-Größe m²" DOUBLE,
    "Gesperrt?" BOOLEAN,
    "Letzte Zählung" DATE,
    "GeändertAm" TIMESTAMP NOT NULL,
    PRIMARY KEY ("Artikel Nr", "Lagerort")
);
CREATE TABLE orders (
    order_no INTEGER PRIMARY KEY,
    customer_no INTEGER NOT NULL,
    ordered_on DATE NOT NULL,
    wanted_on DATE,
    status TEXT NOT NULL,
    channel TEXT,
    reference TEXT,
    is_rush BOOLEAN,
    total DECIMAL(14,2),
    created_at TIMESTAMP NOT NULL,
    updated_at TIMESTAMP NOT NULL
);
CREATE TABLE order_lines (
    order_no INTEGER NOT NULL,
    line_no INTEGER NOT NULL,
    item_no TEXT NOT NULL,
    quantity DECIMAL(12,3) NOT NULL,
    unit_price DECIMAL(12,4) NOT NULL,
    discount_percent DECIMAL(5,2),
    line_total DECIMAL(14,2) NOT NULL,
    delivered_at TIMESTAMP,
    updated_at TIMESTAMP NOT NULL,
    PRIMARY KEY (order_no, line_no)
);
CREATE INDEX customers_updated ON customers (updated_at);
CREATE INDEX items_updated ON items (updated_at);
CREATE INDEX prices_updated ON prices (updated_at);
CREATE INDEX orders_updated ON orders (updated_at);
CREATE INDEX order_lines_updated ON order_lines (updated_at);
